// Plays the clip of an event, and sends what a reviewer says of it; loaded after page.js.
"use strict";

const TRIES = 4, TRY_MS = 1000;
const VERDICTS = { accept: "accepted as", reject: "a false alarm", not_mine: "right, but not mine:" };
let hasClips = false, chosen = null, isJudging = false;

function offerClips(isOffered) {
  hasClips = isOffered;
  for (const cell of document.querySelectorAll(".listen")) cell.hidden = !isOffered;
}
function listenCell(event) {
  const cell = element("td", undefined, "listen");
  cell.hidden = !hasClips;
  if (event.type === "end" && event.clip) {
    const button = element("button", "Listen");
    button.type = "button";
    button.setAttribute("aria-label", `Listen to ${event.label}, ${moment(event)}, ${event.source}`);
    button.addEventListener("click", () => chooseClip(event, button));
    cell.append(button);
  }
  return cell;
}
function clipPath(event) {
  // As in the names of files: an id may hold the name of a source.
  return `v1/clips/${encodeURIComponent(event.id.replace(/[^A-Za-z0-9_.~-]/gu, "_"))}`;
}
function wordsOf(judgement) {
  return judgement.verdict === "reject" ? VERDICTS.reject : `${VERDICTS[judgement.verdict]} ${judgement.label}`;
}
function sayOfClip(words, isBad) {
  byId("clip-said").textContent = words;
  byId("clip-said").classList.toggle("bad", Boolean(isBad));
}
function allowJudging(isAllowed) {
  for (const control of byId("clip-form").querySelectorAll("button, input")) control.disabled = !isAllowed;
}

function chooseClip(event, button) {
  chosen?.button.closest("tr").classList.remove("chosen");
  chosen = { event, button };
  button.closest("tr").classList.add("chosen");
  const labels = sources.get(event.source)?.labels ?? [];
  byId("clip-title").textContent = `Clip: ${event.label}, ${moment(event)}, ${event.source}`;
  byId("clip-label").textContent = event.label;
  byId("clip-labels").replaceChildren(...labels.map((label) => new Option(label, label)));
  byId("clip-other").value = "";
  byId("clip-audio").removeAttribute("src");
  byId("clip").hidden = false;
  byId("clip-title").focus();
  sayOfClip("loading");
  allowJudging(false);
  openClip(event, TRIES);
}
async function openClip(event, nTries) {
  let answer;
  try { answer = await fetch(`${clipPath(event)}/judgement`); } catch { answer = null; }
  if (chosen?.event !== event) return;
  // Written when its post-roll is over, soon after the end of the event.
  if (answer?.status === 404 && nTries > 1) { setTimeout(() => openClip(event, nTries - 1), TRY_MS); return; }
  if (!answer?.ok) { sayOfClip(await refusalOf(answer), true); return; }
  const { judgement } = await answer.json();
  if (chosen?.event !== event) return;
  const audio = byId("clip-audio");
  audio.src = clipPath(event);
  // A browser may refuse to play unasked; the controls are there.
  audio.play().catch(() => {});
  showJudgement(judgement);
}
async function refusalOf(answer) {
  if (!answer) return "no connection to the daemon";
  return answer.status === 404 ? "The clip is gone: it was removed, or never written." : (await answer.text()).trim();
}
function showJudgement(judgement) {
  allowJudging(!judgement);
  sayOfClip(judgement ? `Judged: ${wordsOf(judgement)}` : "");
}
function takeJudgement({ id, judgement }) {
  // The answer to one's own comes by itself.
  if (chosen && !isJudging && clipPath(chosen.event) === clipPath({ id })) showJudgement(judgement);
}

async function judge(verdict, label) {
  const { event } = chosen;
  isJudging = true;
  allowJudging(false);
  let answer;
  try {
    const headers = { "content-type": "application/json", "x-streamgmm": "page" };
    answer = await fetch(`${clipPath(event)}/judgement`, { method: "POST", headers, body: JSON.stringify({ verdict, label }) });
  } catch { answer = null; }
  isJudging = false;
  if (chosen?.event !== event) return;
  if (answer?.ok) showJudgement((await answer.json()).judgement);
  else if (answer?.status === 409) sayOfClip(`Somebody else was faster: ${wordsOf((await answer.json()).judgement)}`, true);
  else {
    sayOfClip(await refusalOf(answer), true);
    allowJudging(answer?.status !== 404);
  }
}
function closeClip() {
  if (!chosen) return;
  const { button } = chosen;
  chosen = null;
  byId("clip-audio").pause();
  byId("clip-audio").removeAttribute("src");
  byId("clip").hidden = true;
  button.closest("tr").classList.remove("chosen");
  button.focus();
}

for (const button of document.querySelectorAll("[data-verdict]")) {
  button.addEventListener("click", () => judge(button.dataset.verdict, ""));
}
byId("clip-form").addEventListener("submit", (event) => { event.preventDefault(); judge("accept", byId("clip-other").value.trim()); });
byId("clip-close").addEventListener("click", closeClip);
byId("clip").addEventListener("keydown", (event) => { if (event.key === "Escape") closeClip(); });
byId("clip-audio").addEventListener("error", () => { if (chosen && byId("clip-audio").hasAttribute("src")) sayOfClip("The clip cannot be played: it is gone, or the connection is lost.", true); });
