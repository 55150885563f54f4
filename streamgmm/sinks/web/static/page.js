// Draws what /events sends. Text from records only ever becomes text (textContent), never markup.
"use strict";

const SCORES_S = 60, TIMELINE_S = 600, MAX_EVENTS = 300, LOWEST_DB = -90, RETRY_MS = 3000;
const GOOD = new Set(["ok", "quiet"]), WARN = new Set(["clipping", "overloaded", "starting", "recovering", "ended"]);
const GATES = {
  silence: "too quiet, below the silence gate",
  background: "the background explains it better",
  unknown: "unlike everything the model was trained on",
  nonfinite: "the input has samples that are not numbers",
};
const HEALTH = {
  uptime_s: ["Running for", seconds],
  captured_samples: ["Captured", samples],
  analysed_samples: ["Analysed", samples],
  in_flight_samples: ["Waiting", samples],
  n_clipped_samples: ["At full scale", samples],
  n_reopened: ["Microphone came back", String],
  n_failures: ["Errors survived", String],
  rtf: ["Load of the analysis", (factor) => `${(100 * factor).toFixed(1)} %`],
  drift_ppm: ["Clock drift", (ppm) => `${ppm.toFixed(0)} ppm`],
  room_s: ["Room learnt", seconds],
};
const PALETTE = ["#3b8fc4", "#d9822b", "#4aa564", "#b5589b", "#c9a227", "#7f7fd5", "#d05c5c", "#3aa6a6", "#8c6d4f", "#888"];

const sources = new Map(), events = new Map();
let isPaused = false, isDrawn = true, retry = 0;
const byId = (id) => document.getElementById(id);

function seconds(value) {
  if (value < 10) return `${value.toFixed(2)} s`;
  if (value < 120) return `${value.toFixed(0)} s`;
  return value < 7200 ? `${(value / 60).toFixed(0)} min` : `${(value / 3600).toFixed(1)} h`;
}
function samples(count, source) { return seconds(count / source.rate_hz); }
function score(value) { return value === null || value === undefined ? "" : value.toFixed(2); }
function moment(record) {
  const time = new Date(record.start_time || record.time || NaN);
  return isNaN(time) ? `${(record.start_t ?? record.t).toFixed(1)} s` : time.toLocaleTimeString();
}
function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

class Source {
  constructor(name) {
    const card = byId("source").content.cloneNode(true).firstElementChild;
    this.name = name; this.card = card; this.windows = []; this.rows = new Map(); this.now_t = 0; this.label = "";
    this.part = (className) => card.querySelector(`.${className}`);
    this.part("name").textContent = name;
    byId("sources").append(card);
  }
  update(state) {
    if (this.run_id !== state.run_id) {
      // Another run of the daemon counts its time from zero.
      for (const [id, event] of events) if (this.run_id && event.source === this.name) events.delete(id);
      this.run_id = state.run_id; this.restart(state.hello_seq);
    }
    if (this.hello_seq !== state.hello_seq) this.restart(state.hello_seq);
    Object.assign(this, { labels: state.labels, rate_hz: state.sample_rate_hz, health: state.health });
    this.open = new Map(state.open_events.map((event) => [event.id, event]));
    this.level_dbfs = state.level_dbfs;
    this.word(state.state, state.detail);
    state.open_events.forEach(keepEvent);
    if (state.window && !this.windows.length) this.take(state.window);
    this.part("nowindows").hidden = this.windows.length > 0;
    this.showHealth();
  }
  restart(hello_seq) {
    // Its time begins at zero, as it does where a reload replaces a source within the run.
    Object.assign(this, { hello_seq, windows: [], now_t: 0, rejected: null });
    this.part("nowindows").hidden = false;
  }
  greet(hello) {
    if (hello.seq <= this.hello_seq) return;
    this.restart(hello.seq); this.open.clear();
    Object.assign(this, { labels: hello.labels, rate_hz: hello.sample_rate_hz });
  }
  word(state, detail) {
    const part = this.part("state");
    part.textContent = state;
    part.className = `state ${GOOD.has(state) ? "good" : WARN.has(state) ? "warn" : "bad"}`;
    this.part("detail").textContent = detail;
  }
  take(record) {
    if (record.type === "hello") { this.greet(record); return; }
    // Records that waited may be of the time before the last hello.
    if (record.seq < this.hello_seq) return;
    if (record.type === "window" && record.t < this.windows.at(-1)?.t) this.restart(this.hello_seq);
    this.now_t = Math.max(this.now_t, record.t);
    if (record.type === "status") {
      this.word(record.state, record.detail);
      if (record.health) { this.health = record.health; this.level_dbfs = record.health.level_dbfs; this.showHealth(); }
    } else if (record.type === "window") {
      this.level_dbfs = record.level_dbfs;
      this.windows.push(record);
      // Silence is no news; the others tell why a sound was no event.
      if (record.reject && record.reject !== "silence") this.rejected = record;
      while (this.windows[0].t < record.t - SCORES_S) this.windows.shift();
      this.part("nowindows").hidden = true;
    } else if (record.type === "start") this.open.set(record.id, record);
    else if (record.type === "end") this.open.delete(record.id);
    else if (record.type === "bye") { this.open.clear(); this.word("ended", record.reason); }
  }
  showHealth() {
    const items = Object.entries(this.health?.lost_samples ?? {}).map(([reason, count]) =>
      [`Lost: ${reason.replaceAll("_", " ")}`, samples(count, this), "loss"]);
    if (this.health && !items.length) items.push(["Lost", "nothing"]);
    for (const [key, [caption, show]] of Object.entries(HEALTH)) {
      const value = this.health?.[key];
      if (value !== null && value !== undefined) items.push([caption, show(value, this)]);
    }
    this.part("health").replaceChildren(...items.map(([caption, value, name]) => {
      const row = element("div", undefined, name);
      row.append(element("dt", caption), element("dd", value));
      return row;
    }));
  }
  draw(colours) {
    const level = this.level_dbfs, meter = this.part("meter");
    const shown = Math.max(LOWEST_DB, Math.min(0, level ?? LOWEST_DB));
    this.part("fill").style.width = `${100 * (1 - shown / LOWEST_DB)}%`;
    meter.setAttribute("aria-valuenow", shown.toFixed(0));
    this.part("dbfs").textContent = level === null || level === undefined ? "–" : `${level.toFixed(1)} dBFS`;
    const names = [...this.open.values()].map((event) => element("span", event.label));
    replaceIfChanged(this.part("open"), names.length ? names : [element("span", "no event at the moment", "quiet")]);
    this.drawLabels();
    drawScores(this, colours);
    drawTimeline(this, colours);
    drawSpectrum(this, colours);
  }
  drawLabels() {
    const last = this.windows.at(-1);
    if (!last) return;
    const ranked = Object.keys(last.thresholds ?? {});
    if (ranked.join("\n") !== [...this.rows.keys()].join("\n")) this.makeRows(ranked);
    for (const [label, row] of this.rows) {
      const value = last.scores[label] ?? 0, isOver = value >= last.thresholds[label];
      row.bar.style.width = `${100 * value}%`;
      row.bar.className = isOver ? "over-bar" : "";
      row.mark.style.left = `${100 * last.thresholds[label]}%`;
      row.number.textContent = score(value);
      row.word.className = isOver ? "word over" : "word";
    }
    const why = last.reject ? `Rejected: ${GATES[last.reject] ?? last.reject}` : `Now: ${last.label}`;
    const best = bestOf(last);
    const short = best && !last.reject && last.scores[best] < last.thresholds[best]
      ? ` (best label: ${best}, ${score(last.scores[best])} of the ${score(last.thresholds[best])} that start an event)` : "";
    this.part("verdict").textContent = why + short;
    this.showRejected(last);
  }
  showRejected(last) {
    const { rejected } = this, part = this.part("rejected");
    if (!rejected || last.reject === rejected.reject || this.now_t - rejected.t > SCORES_S) { part.textContent = ""; return; }
    const best = bestOf(rejected);
    const like = best ? `; most like ${best}, ${score(rejected.scores[best])} of ${score(rejected.thresholds[best])}` : "";
    part.textContent = `Last rejected, ${(this.now_t - rejected.t).toFixed(0)} s ago: ${GATES[rejected.reject] ?? rejected.reject}${like}`;
  }
  makeRows(labels) {
    this.rows.clear();
    this.part("labels").replaceChildren(...labels.map((label) => {
      const row = element("li"), track = element("span", undefined, "track");
      const parts = { word: element("span", label, "word"), bar: element("i"), mark: element("b"), number: element("span", "", "number") };
      parts.word.title = label;
      track.append(parts.bar, parts.mark);
      row.append(parts.word, track, parts.number);
      this.rows.set(label, parts);
      return row;
    }));
  }
}

function bestOf(record) {
  return Object.keys(record.thresholds ?? {}).reduce((one, other) => ((record.scores[other] ?? 0) > (record.scores[one] ?? 0) ? other : one), undefined);
}
function replaceIfChanged(parent, children) {
  // An unchanged status must not be read out again.
  if (parent.textContent !== children.map((child) => child.textContent).join("")) parent.replaceChildren(...children);
}

function canvasOf(source, name) {
  const canvas = source.part(name), ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "12px system-ui, sans-serif";
  return { canvas, pen, width, height };
}
function colourOf(source, label) { return PALETTE[Math.max(0, source.labels.indexOf(label)) % PALETTE.length]; }

function drawScores(source, colours) {
  const { canvas, pen, width, height } = canvasOf(source, "scores"), last = source.windows.at(-1);
  const left = 28, bottom = height - 18, x = (t) => left + (width - left) * (1 - (source.now_t - t) / SCORES_S), y = (s) => bottom - (bottom - 6) * s;
  pen.strokeStyle = colours.line; pen.fillStyle = colours.faint; pen.lineWidth = 1;
  for (const value of [0, 0.5, 1]) {
    pen.beginPath(); pen.moveTo(left, y(value)); pen.lineTo(width, y(value)); pen.stroke();
    pen.fillText(String(value), 4, y(value) + 4);
  }
  for (const age of [60, 40, 20]) pen.fillText(`-${age} s`, x(source.now_t - age) + 2, height - 4);
  if (!last) return;
  // The labels that were highest within the minute, so that a line is not one of thirty.
  const peaks = Object.keys(last.thresholds ?? {}).map((label) => [label, Math.max(...source.windows.map((each) => each.scores[label] ?? 0))]);
  const shown = peaks.filter(([, peak]) => peak > 0.1).sort((one, other) => other[1] - one[1]).slice(0, 5).map(([label]) => label);
  const front = shown.reduce((one, other) => (last.scores[other] > (last.scores[one] ?? -1) ? other : one), shown[0]);
  if (front !== undefined) {
    pen.setLineDash([5, 4]); pen.strokeStyle = colourOf(source, front); pen.beginPath();
    pen.moveTo(left, y(last.thresholds[front])); pen.lineTo(width, y(last.thresholds[front])); pen.stroke(); pen.setLineDash([]);
  }
  pen.lineWidth = 2;
  for (const label of shown) {
    pen.strokeStyle = colourOf(source, label); pen.beginPath();
    let before = null;
    for (const each of source.windows) {
      // A gap is a hole, not a slope.
      const isJoined = before !== null && each.t - before < 1;
      pen[isJoined ? "lineTo" : "moveTo"](x(each.t), y(each.scores[label] ?? 0));
      before = each.t;
    }
    pen.stroke();
  }
  shown.forEach((label, row) => { pen.fillStyle = colourOf(source, label); pen.fillRect(left + 6, 12 + 16 * row, 10, 3); pen.fillStyle = colours.ink; pen.fillText(label, left + 20, 17 + 16 * row); });
  canvas.setAttribute("aria-label", `Scores over time, highest: ${shown.join(", ") || "none"}`);
}

function drawSpectrum(source, colours) {
  const { canvas, pen, width, height } = canvasOf(source, "spectrum"), left = 28;
  // Whole pixels: neighbours that share one would show as stripes.
  const x = (t) => Math.round(left + (width - left) * (1 - (source.now_t - t) / SCORES_S));
  pen.fillStyle = colours.accent;
  let before = null, highest = 0;
  for (const each of source.windows) {
    const bands = each.spectrum_db ?? [], step = height / Math.max(1, bands.length);
    // A window is drawn up to the one before; after a gap, for a hop alone.
    const from = before !== null && each.t - before < 1 ? x(before) : x(each.t) - 2;
    bands.forEach((db, band) => {
      pen.globalAlpha = Math.max(0, Math.min(1, 1 - db / LOWEST_DB));
      pen.fillRect(from, height - (band + 1) * step, x(each.t) - from, step);
    });
    if (bands.length) highest = 1 + bands.indexOf(Math.max(...bands));
    before = each.t;
  }
  pen.globalAlpha = 1;
  canvas.setAttribute("aria-label", `Spectrum over time; the loudest band is number ${highest}, counted from the lowest`);
}

function drawTimeline(source, colours) {
  const { canvas, pen, width, height } = canvasOf(source, "timeline");
  const span = TIMELINE_S, x = (t) => width * (1 - (source.now_t - t) / span), bottom = height - 18;
  const mine = [...events.values()].filter((event) => event.source === source.name && event.seq >= source.hello_seq && (event.end_t ?? source.now_t) > source.now_t - span);
  const labels = [...new Set(mine.map((event) => event.label))].sort().slice(-8), step = Math.min(26, bottom / Math.max(1, labels.length));
  pen.fillStyle = colours.faint; pen.strokeStyle = colours.line;
  pen.beginPath(); pen.moveTo(0, bottom); pen.lineTo(width, bottom); pen.stroke();
  for (const age of [10, 7.5, 5, 2.5]) pen.fillText(`-${age} min`, x(source.now_t - 60 * age) + 2, height - 4);
  labels.forEach((label, row) => {
    for (const event of mine.filter((each) => each.label === label)) {
      pen.fillStyle = event.isGap ? colours.bad : colourOf(source, label);
      const from = Math.max(0, x(event.start_t));
      pen.fillRect(from, row * step + step * 0.55, Math.max(3, x(event.end_t ?? source.now_t) - from), step * 0.35);
    }
    pen.fillStyle = colours.ink; pen.fillText(label, 2, row * step + step * 0.45);
  });
  canvas.setAttribute("aria-label", `Events of the last ten minutes: ${mine.length}, ${labels.join(", ")}`);
}

function keepEvent(record) {
  if (record.type === "gap") {
    const known = sources.get(record.source), lost_s = known ? record.lost_samples / known.rate_hz : 0;
    events.set(`gap ${record.source} ${record.seq}`, { ...record, label: `lost: ${record.reason.replaceAll("_", " ")}`, start_t: record.t - lost_s, end_t: record.t, duration_s: lost_s, isGap: true });
  } else if (record.type === "start" || (record.type === "end" && events.get(record.id)?.type !== "end")) {
    // Once only: what is fetched again must not make another row of it.
    if (events.get(record.id)?.type === "end") return;
    events.set(record.id, { ...events.get(record.id), ...record });
  }
  while (events.size > MAX_EVENTS) events.delete(events.keys().next().value);
}

const rowsOfEvents = new WeakMap();
function rowOf(event) {
  // Each change of an event makes another object of it.
  let row = rowsOfEvents.get(event);
  if (row) return row;
  const isOpen = event.type === "start";
  row = element("tr", undefined, event.isGap ? "gap" : isOpen ? "running" : "");
  row.append(element("td", moment(event)), element("td", event.label), element("td", event.source));
  row.append(element("td", score(event.max_score ?? event.score), "number"));
  row.append(element("td", isOpen ? "still sounding" : seconds(event.duration_s), "number"));
  row.append(listenCell(event));
  rowsOfEvents.set(event, row);
  return row;
}

function showEvents() {
  const filter = byId("filter"), labels = [...new Set([...events.values()].map((event) => event.label))].sort();
  if (filter.options.length !== labels.length + 1) {
    const chosen = filter.value;
    filter.replaceChildren(new Option("all labels", ""), ...labels.map((label) => new Option(label, label)));
    filter.value = labels.includes(chosen) ? chosen : "";
  }
  const shown = [...events.values()].filter((event) => !filter.value || event.label === filter.value).reverse();
  const rows = shown.map(rowOf), body = byId("rows"), kept = new Set(rows);
  // In place: a button that has the focus must keep it.
  for (const row of [...body.children]) if (!kept.has(row)) row.remove();
  rows.forEach((row, n) => { if (body.children[n] !== row) body.insertBefore(row, body.children[n] ?? null); });
  byId("none").hidden = shown.length > 0;
}

function draw() {
  isDrawn = true;
  if (isPaused) return;
  const style = getComputedStyle(document.documentElement), colours = {};
  for (const name of ["ink", "faint", "line", "bad", "accent"]) colours[name] = style.getPropertyValue(`--${name}`).trim();
  for (const source of sources.values()) source.draw(colours);
}
function drawSoon() {
  if (isDrawn) { isDrawn = false; requestAnimationFrame(draw); }
}

function takeState(state) {
  byId("version").textContent = `streamgmm ${state.version}`;
  offerClips(state.has_clips);
  for (const [name, source] of sources) {
    if (!state.sources.some((each) => each.name === name)) { source.card.remove(); sources.delete(name); }
  }
  for (const each of state.sources) {
    if (!sources.has(each.name)) sources.set(each.name, new Source(each.name));
    sources.get(each.name).update(each);
  }
}
function takeRecord(record) {
  if (record.type === "dropped") return;
  sources.get(record.source)?.take(record);
  if (["start", "end", "gap"].includes(record.type)) { keepEvent(record); if (!isPaused) showEvents(); }
}
async function fetchPast() {
  const answer = await fetch("v1/events?since=-1");
  if (!answer.ok) return;
  for (const record of (await answer.json()).events) {
    keepEvent(record);
    const source = sources.get(record.source);
    if (source && record.seq >= source.hello_seq) source.now_t = Math.max(source.now_t, record.t);
  }
  showEvents(); drawSoon();
}

function say(words, isLost) {
  const place = byId("connection");
  if (place.textContent !== words) place.textContent = words;
  place.classList.toggle("lost", isLost);
}
function connect() {
  const stream = new EventSource("events");
  const listen = (type, take) => stream.addEventListener(type, (message) => { take(JSON.parse(message.data)); drawSoon(); });
  let isFirst = true;
  stream.onopen = () => { isFirst = true; };
  listen("state", (state) => { takeState(state); say("connected", false); if (isFirst) fetchPast(); isFirst = false; });
  for (const type of ["hello", "window", "status", "start", "update", "end", "gap", "model", "bye", "dropped"]) listen(type, takeRecord);
  listen("judgement", takeJudgement);
  stream.onerror = () => {
    say("no connection to the daemon; trying again", true);
    // The browser tries again by itself, except after an answer that is an error.
    if (stream.readyState === EventSource.CLOSED) { clearTimeout(retry); retry = setTimeout(connect, RETRY_MS); }
  };
}
function togglePause() {
  isPaused = !isPaused;
  byId("pause").setAttribute("aria-pressed", String(isPaused));
  byId("pause").textContent = isPaused ? "Continue" : "Pause";
  if (!isPaused) { showEvents(); drawSoon(); }
}

byId("pause").addEventListener("click", togglePause);
byId("filter").addEventListener("change", showEvents);
document.addEventListener("keydown", (event) => {
  if (event.key === " " && event.target === document.body) { event.preventDefault(); togglePause(); }
});
window.addEventListener("resize", drawSoon);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawSoon);
document.addEventListener("DOMContentLoaded", connect);
