"use strict";
// The walk: its configurations and events.  It looks up the answers of the engine and decides nothing.

const data = JSON.parse(document.getElementById("data").textContent);
const EVENTS = data.events.length, WIDTH = 1 + data.variables.length, INSIDE = data.configurations.length;
const REASONS = data.reasons.length; // codes below are refusals, the others rows
const WORD = WIDTH, PATTERN = WIDTH + 1, TARGETS = WIDTH + 2;

// A chart whose events bring data has several steps of a kind, one for each data; otherwise a step is an event.
const kinds = data.kinds ?? data.events.map(([name, doc]) => [name, doc, []]);
const kindOf = (event) => data.events[event][2] ?? event;
const stepsOf = kinds.map(() => []);
data.events.forEach((_, event) => stepsOf[kindOf(event)].push(event));

// for each pattern, where an event's target stands among the targets
const ranks = data.patterns.map((codes) => {
  let rank = 0;
  return codes.map((code) => (code < REASONS ? -1 : rank++));
});

const rounds = !data.states.some(([, , end]) => end); // the paths lead back to the initial state

const configuration = (n) => data.configurations[n] ?? data.outside[n - INSIDE];

function answer(n, event) { // the answer of the engine to this event in the n-th configuration
  const here = data.configurations[n], code = data.patterns[here[PATTERN]][event];
  if (code < REASONS) return { event, kind: "refused", row: -1, target: -1, reason: reason(here, data.reasons[code]) };
  const target = here[TARGETS + ranks[here[PATTERN]][event]];
  return { event, kind: target < INSIDE ? "accepted" : "beyond", row: code - REASONS, target, reason: "" };
}

function reason(here, [text, variables]) {
  return variables.length ? `${text}; ${variables.map((v) => `${nameOf(v)} is ${valueOf(here, v)}`).join(", ")}` : text;
}

// ---------------------------------------------------------------------------- names, as they are shown and as written

const seen = (name) => (Object.hasOwn(data.shown, name) ? data.shown[name] : name);
const nameOf = (variable) => seen(data.variables[variable][0]);

function valueOf(here, variable) {
  const values = data.variables[variable][3], value = here[1 + variable];
  return values === undefined ? String(value) : seen(values[value] === null ? "none" : String(values[value]));
}

function describe(n) { // the state, and every variable that has changed since the start
  const here = configuration(n), parts = [seen(data.states[here[0]][0])];
  data.variables.forEach((variable, v) => {
    if (here[1 + v] !== variable[2]) parts.push(`${nameOf(v)} ${valueOf(here, v)}`);
  });
  return parts.join(", ");
}

const outputs = (n) => data.words[data.configurations[n][WORD]][1];

const written = data.events.map(([name], event) => {
  try { return encodeURIComponent(name); } catch { return `@${event}`; } // half a surrogate pair cannot be part of an address
});
const known = new Map(written.map((text, event) => [text, event]));
data.events.forEach(([name], event) => known.set(name, event));

function eventNamed(word) { // the number of an event, plain or percent-encoded; undefined for other words
  const text = word.trim();
  if (known.has(text)) return known.get(text);
  let plain = text;
  try { plain = decodeURIComponent(text).trim(); } catch { /* it is no address */ }
  return known.get(plain) ?? callNamed(plain) ?? callNamed(text);
}

// -------------------------------------------------------------------------------------------------------- the walk

const walk = {
  trail: [], // the events, also those undone
  stands: [0], // the configurations: stands[n] is the one after n events
  place: 0,
  taken: new Set(), // rows taken since the page was opened
  met: new Set([0]), // configurations it stood in
  done: new Set(), // paths walked from the start to the end

  get here() { return this.stands[this.place]; },
  get last() { return this.place ? this.rowAt(this.place - 1) : -1; },
  rowAt(place) { return answer(this.stands[place], this.trail[place]).row; },
  answers() { return data.events.map((_, event) => answer(this.here, event)); },

  step(event) { // take a step, unless it is refused or leads beyond the page; return the answer
    const answered = answer(this.here, event);
    if (answered.kind === "accepted") {
      if (this.trail[this.place] !== event) {
        this.trail.length = this.place;
        this.stands.length = this.place + 1;
        this.trail.push(event);
        this.stands.push(answered.target);
      }
      this.place += 1;
      this.taken.add(answered.row);
      this.met.add(answered.target);
      const [, source, , target] = data.rows[answered.row];
      if (data.states[target][2] || rounds && target !== source && target === configuration(0)[0]) this.finish();
    }
    return answered;
  },

  jump(place) { // to a place of the trail; later steps can be redone
    const moved = place >= 0 && place < this.stands.length && place !== this.place;
    if (moved) this.place = place;
    return moved;
  },

  restart() { this.trail = []; this.stands = [0]; this.place = 0; },

  follow(events) { // from the start; return the first answer that is not accepted with its place, or null
    this.restart();
    for (const [place, event] of events.entries()) {
      const answered = this.step(event);
      if (answered.kind !== "accepted") return { place: place + 1, answered };
    }
    return null;
  },

  finish() { // an end was reached: note its path
    const path = pathOf.get(movesOf(this.events()).join());
    if (path !== undefined) this.done.add(path);
  },

  events() { return this.trail.slice(0, this.place); },
};

// the step by which each configuration was found first; they are numbered in that order
const parents = [];
function wayTo(n) {
  if (!parents.length) {
    parents[0] = [-1, -1];
    for (let source = 0; source < INSIDE; source++) {
      for (let event = 0; event < EVENTS; event++) {
        const { kind, target } = answer(source, event);
        if (kind === "accepted" && parents[target] === undefined) parents[target] = [source, event];
      }
    }
  }
  const events = [];
  while (n > 0) {
    events.unshift(parents[n][1]);
    n = parents[n][0];
  }
  return events;
}

function movesOf(events) { // the rows of a trace that change the state
  const moves = [];
  let n = 0;
  for (const event of events) {
    const { row, target } = answer(n, event);
    if (data.rows[row][1] !== data.rows[row][3]) moves.push(row);
    n = target;
  }
  return moves;
}
const pathRows = data.paths.map(([, witnesses, rows]) => rows ?? movesOf(witnesses[0][1]));
const pathOf = new Map(pathRows.map((rows, path) => [rows.join(), path]));

let numbers = null;
function numberOf(state, values) { // the configuration with these values; undefined when it is not on the page
  numbers ??= new Map(data.configurations.map((one, n) => [one.slice(0, WIDTH).join(), n]));
  return numbers.get([state, ...values].join());
}

const rowsWithin = new Set(); // the rows that some step of the page takes
for (const one of data.configurations) {
  data.patterns[one[PATTERN]].forEach((code, event) => {
    if (code >= REASONS && one[TARGETS + ranks[one[PATTERN]][event]] < INSIDE) rowsWithin.add(code - REASONS);
  });
}
