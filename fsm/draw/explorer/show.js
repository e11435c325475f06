// The view: built once; each step rewrites only what changed.  Names and texts are inserted as text, never as markup.

const $ = (id) => document.getElementById(id);
const KEYS = "123456789abdefhimnoptwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"; // as in `fsm step`; the other letters are commands

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
const name = (text) => make("bdi", {}, seen(text));
const stateName = (state) => seen(data.states[state][0]);

function consequence(row) { // the consequence of taking a row, in words
  const [, source, , target, , effects] = data.rows[row];
  const parts = [...(source === target ? [] : [`→ ${stateName(target)}`]), ...(effects ? [effects] : [])];
  return parts.join(", ") || "nothing changes";
}

// ---------------------------------------------------------------------------------------------------- built once

const buttons = kinds.map(([text, doc, brings], kind) => {
  const detail = make("span", { class: "detail" });
  const key = KEYS[kind] ? make("kbd", {}, KEYS[kind]) : "";
  const button = make("button", { type: "button", class: "event" }, key, make("span", { class: "name" }, name(text)), detail);
  if (KEYS[kind]) button.setAttribute("aria-keyshortcuts", KEYS[kind]);
  button.addEventListener("click", () => takeKind(kind));
  for (const moment of ["focus", "pointerenter"]) button.addEventListener(moment, () => explain(chosen(kind)));
  for (const moment of ["blur", "pointerleave"]) button.addEventListener(moment, () => explain(-1));
  const item = make("li", {}, button), inputs = brings.map((datum) => dataInput(kind, ...datum)).filter(Boolean);
  if (inputs.length) item.append(make("span", { class: "data" }, ...inputs.map(({ label }) => label)));
  $("list").append(item);
  return { button, detail, doc, inputs, edited: false };
});

// Of a chart whose events bring data, data.js has other versions of these.
function dataInput() { return null; }
function chosen(kind) { return stepsOf[kind][0]; } // the step of an event with the data that stand beside it
function showKind(kind) { showEvent(buttons[kind], answer(walk.here, stepsOf[kind][0])); }

const values = data.variables.map(([text, doc]) => {
  const value = make("dd");
  const pair = make("div", {}, make("dt", { title: doc }, name(text)), value);
  $("values").append(pair);
  return { pair, value };
});

const tableRows = data.rows.map(([id, source, event, target, guard, effects, why], row) => {
  const now = make("td");
  const line = make("tr", {}, make("th", { scope: "row" }, name(id)), now, make("td", {}, name(data.states[source][0])),
    make("td", {}, name(kinds[event][0])), make("td", {}, guard), make("td", {}, effects || "–"),
    make("td", {}, name(data.states[target][0])), make("td", {}, data.whys[why]));
  line.addEventListener("click", () => { if (line.className === "enabled") take(stepsFor([row])[0]); });
  $("rows").append(line);
  return { line, now };
});

const pathItems = data.paths.map(([id, witnesses], path) => {
  const rows = pathRows[path], states = [0, ...rows.map((row) => data.rows[row][3])];
  states[0] = configuration(0)[0];
  const item = make("li", {}, make("span", { class: "id" }, id), " ", states.map(stateName).join(" → "));
  let words = [id, ...states.map(stateName), ...rows.map((row) => data.rows[row][0])];
  if (typeof witnesses === "string") item.append(make("span", { class: "detail" }, ` no witness: ${witnesses}`));
  else {
    for (const [number, events] of witnesses) {
      const flag = data.flags[number];
      const text = events.map((event) => seen(data.events[event][0])).join(", ");
      const play = make("button", { type: "button", "aria-label": `Play path ${id}${flag && ` ending ${flag}`}` }, "▶");
      play.addEventListener("click", () => playPath(events));
      item.append(make("span", { class: "witness" }, play, flag ? make("b", {}, flag) : "", " ",
        make("a", { href: addressOf(events) || "#" }, text || "at the start")));
      words = [...words, flag, text];
    }
  }
  for (const moment of ["focusin", "pointerenter"]) item.addEventListener(moment, () => showPath(rows));
  for (const moment of ["focusout", "pointerleave"]) item.addEventListener(moment, () => showPath([]));
  $("path-list").append(item);
  return { item, words: words.join(" ").toLowerCase() };
});

$("doc").textContent = data.doc;
$("table").querySelector("summary").textContent = `The picture as a table: ${data.rows.length} rows`;
if (rounds) $("paths-title").textContent = "Ways around";
$("paths-note").textContent = data.without || `${data.more ? "These are the shortest of very many. " : ""}Each is a trace the engine executed. ▶ plays it; the trace itself is a link.${data.flag && ` In bold: ${seen(data.flag)} at the end.`}`;
$("filtering").hidden = $("path-list").hidden = !data.paths.length;
$("edge").textContent = `This page holds ${INSIDE.toLocaleString("en")} configurations, ${data.cut}.`;
$("foot").textContent = `${seen(data.chart)}, fingerprint ${data.fingerprint}. ` +
  data.sums.map(([text, sum]) => `${text} is ${sum}`).join("; ");

// ------------------------------------------------------------------------------------------------- after each step

let before = 0, selected = new Set();

function show() {
  const n = walk.here, here = configuration(n), answers = walk.answers();
  const enabled = new Set(), beyond = new Set(), last = walk.last;
  for (const { kind, row } of answers) (kind === "accepted" ? enabled : beyond).add(row);
  $("state").textContent = stateName(here[0]);
  $("stands").className = data.states[here[0]][2] ? "final" : "";
  $("state-doc").textContent = [data.states[here[0]][1], ...(data.states[here[0]][4] ?? []).map(([seconds, kind]) => `after ${seconds} s: ${seen(kinds[kind][0])}`)].filter(Boolean).join("; ");
  values.forEach(({ pair, value }, v) => {
    const text = valueOf(here, v);
    if (value.textContent !== text) value.textContent = text;
    pair.className = `${configuration(before)[1 + v] === here[1 + v] ? "" : "new "}${here[1 + v] === data.variables[v][2] ? "usual" : ""}`;
  });
  showOutputs(n);
  kinds.forEach((_, kind) => showKind(kind));
  const many = new Set(answers.filter(({ kind }) => kind === "accepted").map(({ event }) => kindOf(event))).size;
  $("many").textContent = many ? `${many} of ${kinds.length} now` : "nothing more";
  showTrail();
  tableRows.forEach(({ line, now }, row) => {
    const text = [...(enabled.has(row) ? ["possible"] : []), ...(row === last ? ["last"] : [])].join(", ");
    if (now.textContent !== text) now.textContent = text;
    const kind = enabled.has(row) ? "enabled" : "";
    if (line.className !== kind) line.className = kind;
  });
  markPictures(enabled, beyond, last, selected);
  showCoverage();
  explain(-1);
  document.title = `${stateName(here[0])} · ${seen(data.chart)}`;
}

function showEvent({ button, detail }, { kind, row, target, reason: why, text: given }, other = "") {
  const text = given ?? (kind === "refused" ? why + other : kind === "accepted" ? consequence(row) :
    `leads beyond this page, to ${describe(target)}`);
  if (detail.textContent !== text) detail.textContent = text;
  if (button.dataset.kind !== kind) {
    button.dataset.kind = kind;
    if (kind === "accepted") button.removeAttribute("aria-disabled");
    else button.setAttribute("aria-disabled", "true");
  }
}

function showOutputs(n) {
  const set = outputs(n).map((output) => make("span", { class: "output", title: data.outputs[output][2] }, name(data.outputs[output][0])));
  const word = data.words[data.configurations[n][WORD]][0];
  if (data.outputs.length) {
    $("outputs").replaceChildren(make("span", { class: "small" }, "Output "), ...(set.length ? set : ["none"]), " ",
      make("code", {}, `0x${word.toString(16).toUpperCase()}`));
  }
}

function showTrail() {
  const places = [make("button", { type: "button" }, "start"), ...walk.trail.map((event) => make("button", { type: "button" }, name(data.events[event][0])))];
  $("trail").replaceChildren(...places.map((button, place) => {
    if (place === walk.place) button.setAttribute("aria-current", "step");
    if (place > walk.place) button.className = "undone";
    button.title = describe(walk.stands[place]);
    button.addEventListener("click", () => { if (walk.jump(place)) moved(`Back to ${describe(walk.here)}.`, place); });
    return make("li", {}, button);
  }));
  const { offsetLeft, offsetTop } = $("trail").children[walk.place];
  $("trail").scrollTo(offsetLeft - 120, offsetTop - 60); // `scrollIntoView` would scroll the page, too
  // `disabled` would take the focus from the button that was just pressed
  $("undo").setAttribute("aria-disabled", walk.place === 0);
  $("redo").setAttribute("aria-disabled", walk.place === walk.trail.length);
  $("restart").setAttribute("aria-disabled", !walk.trail.length);
}

function showCoverage() {
  const parts = [["rows", walk.taken.size, rowsWithin.size], ["configurations", walk.met.size, INSIDE],
    ...(data.paths.length ? [["paths", walk.done.size, data.paths.length]] : [])];
  $("covered").replaceChildren(...parts.map(([what, some, all]) => make("div", {}, make("dt", {}, what),
    make("dd", {}, make("progress", { max: all, value: some, "aria-label": `${what} covered` }), ` ${some} of ${all.toLocaleString("en")}`))));
  if ($("untaken").open) {
    $("missing").replaceChildren(...[...rowsWithin].sort((a, b) => a - b).filter((row) => !walk.taken.has(row))
      .map((row) => make("li", {}, name(data.rows[row][0]))));
  }
}

// ---------------------------------------------------------------------- why: for the row under the pointer, or the last one

function explain(event, rows = []) {
  const answered = event >= 0 ? answer(walk.here, event) : null;
  const which = rows[0] ?? (answered ? answered.row : walk.last);
  const parts = [];
  if (rows.length > 1) { // of a line like `logoff_no_wait (2)`
    for (const row of rows) {
      const [id, , of, , guard] = data.rows[row];
      parts.push(make("p", {}, make("b", {}, name(kinds[of][0])), ` ${guard ? `[${guard}] ` : ""}${consequence(row)} `, make("span", { class: "small" }, name(id))));
    }
  } else if (answered && answered.kind === "refused") {
    parts.push(make("p", {}, make("b", {}, name(data.events[event][0])), `: ${answered.reason}`), make("p", { class: "small" }, data.events[event][1]));
  } else if (which >= 0) {
    const [id, , of, , guard, , why, cites] = data.rows[which];
    parts.push(make("p", {}, make("b", {}, name(kinds[of][0])), ` ${guard ? `[${guard}] ` : ""}${consequence(which)}`));
    const text = data.whys[why];
    if (text) parts.push(make("p", {}, `${text[0].toUpperCase()}${text.slice(1)}.`));
    parts.push(make("ul", { class: "cites" }, ...cites.map((cite) => make("li", {}, make("span", { class: "id" }, data.sentences[cite][0]), ` ${data.sentences[cite][1]}`))));
    parts.push(make("p", { class: "small" }, "row ", name(id)));
  } else parts.push(make("p", { class: "small" }, "Point at an event or a line of the picture, or take a step: here stands why it is so."));
  $("why-text").replaceChildren(...parts);
}

function showPath(rows) {
  selected = new Set(rows);
  const enabled = new Set(), beyond = new Set();
  if (!rows.length) for (const { kind, row } of walk.answers()) (kind === "accepted" ? enabled : beyond).add(row);
  markPictures(enabled, beyond, rows.length ? -1 : walk.last, selected);
}
