"""Words of other languages for the kinds of the world's sounds that people teach most often.

Dutch, French, German, Italian, Portuguese and Spanish, in lower case and without accents. One that means something else
to somebody costs little: the world then lacks a few sounds.
"""

from __future__ import annotations

WORDS: dict[str, tuple[str, ...]] = {
    kind: tuple(words.split())
    for kind, words in {
        "aircraft": "flugzeug hubschrauber avion helicoptere aereo elicottero vliegtuig helikopter",
        "alarm": "rauchmelder sirene wecker alarme allarme alarma sirena rookmelder wekker",
        "baby": "saugling weinen bebe pleurs neonato pianto bambino llanto choro huilen",
        "bells": "glocke glocken kirchenglocke cloche campana campane sino kerkklok",
        "birds": "vogel vogels oiseau oiseaux uccello uccelli pajaro pajaros passaro passaros",
        "bowed strings": "geige violine cello violon violino viool violonchelo",
        "brass": "trompete posaune trompette tromba trompeta trompet",
        "cat": "katze katzen miauen chat miaulement gatto gatti gato gatos poes",
        "chainsaw": "kettensage tronconneuse motosega motosierra motosserra kettingzaag",
        "clap and snap": "klatschen applaus applaudissements applauso aplauso aplausos",
        "clock": "uhr ticken horloge orologio reloj relogio",
        "cough": "husten toux tosse tos hoesten hoest",
        "dog": "hund hunde hundegebell bellen chien aboiement cane abbaio perro ladrido cachorro latido hond "
        "blaffen geblaf",
        "door": "tur tuer porte porta puerta deur",
        "doorbell": "klingel turklingel tuerklingel sonnette campanello timbre campainha deurbel",
        "drums": "trommel schlagzeug tambour batterie tamburo tambor bateria",
        "explosion and shot": "schuss knall feuerwerk esplosione sparo disparo tiro schot",
        "farm animal": "kuh schaf schwein huhn ziege pferd vache mouton cochon poule cheval mucca pecora maiale "
        "gallina cavallo vaca oveja cerdo caballo ovelha cavalo koe schaap varken paard",
        "fire": "feuer feu fuoco fuego fogo vuur",
        "footsteps": "schritte passi pasos passos voetstappen",
        "glass": "glas verre vetro vidrio vidro",
        "guitar": "gitarre guitare chitarra guitarra gitaar",
        "horn and whistle": "hupe pfeife klaxon sifflet fischio bocina silbato buzina apito",
        "insects": "biene mucke grille abeille moustique zanzara mosquito abeja abelha",
        "keyboard typing": "tastatur tippen clavier tastiera teclado toetsenbord",
        "laughter": "lachen gelachter rire rires risata risa risada",
        "machine hum": "maschine ventilator lufter pumpe moteur macchina motore maquina",
        "music": "musik musique musica muziek",
        "noise": "rauschen bruit rumore ruido ruis",
        "piano": "klavier pianoforte",
        "rain": "regen pluie pioggia lluvia chuva",
        "road vehicle": "auto lastwagen motorrad verkehr voiture camion moto macchina coche carro",
        "rooster": "hahn coq gallo galo haan",
        "running water": "wasser wasserhahn dusche eau robinet acqua rubinetto agua grifo kraan",
        "scream": "schrei schreien cri urlo grito schreeuw",
        "sea": "meer wellen mer vagues onde olas ondas zee golven",
        "singing": "gesang singen chant canto zang",
        "sneeze": "niesen eternuement starnuto estornudo espirro niezen nies",
        "speech": "sprache stimme wort parole voix voce parola voz palabra palavra",
        "switch and lock": "schalter schlussel interrupteur interruttore chiavi llaves chaves",
        "telephone": "telefon telefono telefone telefoon sonnerie",
        "thunder": "donner gewitter tonnerre orage tuono trueno tormenta trovao donder onweer",
        "tools": "hammern bohrer bohren marteau perceuse martello trapano martillo taladro",
        "train": "zug treno tren trem trein",
        "wind": "vento viento",
        "wooden knocks": "klopfen bussare golpes kloppen",
        "woodwind": "flote klarinette flauta flauto clarinette clarinetto fluit",
    }.items()
}
