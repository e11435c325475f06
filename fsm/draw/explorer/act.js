// What a reader does: steps, undo and redo, back and forward, playing a path, pasting and copying.

let announced = "";
let remembering = null; // "push" or "replace": the address is written once, after the whole action

function say(text, wrong = false) {
  $("status").textContent = announced = text;
  $("status").className = wrong ? "wrong" : "";
}

const begin = () => `The start: ${describe(0)}. Click an event${data.paths.length ? `, or play one of the “${$("paths-title").textContent}”` : ""}.`;

function moved(text, focus = -1, wrong = false) { // show and announce the walk, and write it into the address
  show();
  say(text, wrong);
  remember("push");
  before = walk.here;
  scrollToState(configuration(walk.here)[0]);
  if (focus >= 0) $("trail").children[focus]?.firstChild.focus();
}

function remember(how) {
  if (remembering === null) queueMicrotask(() => {
    const address = addressOf(walk.events()) || "#", kept = { trail: [...walk.trail], place: walk.place };
    try { history[remembering === "push" ? "pushState" : "replaceState"](kept, "", address); } catch { /* too many at once */ }
    remembering = null;
  });
  if (remembering !== "push") remembering = how;
}

function stepText(answered) { // a step in words
  const event = seen(data.events[answered.event][0]);
  if (answered.kind === "refused") return `${event} is not possible: ${answered.reason}.`;
  if (answered.kind === "beyond") return `${event} is possible, but leads beyond this page, to ${describe(answered.target)}. ${wider()}`;
  const set = outputs(walk.here).map((output) => seen(data.outputs[output][0]));
  return `${event}: now ${describe(walk.here)}.${data.outputs.length ? ` Output ${set.join(", ") || "none"}.` : ""}`;
}

const wider = () => "fsm explore with a wider --bound makes a page that holds it.";

function take(event) {
  stopPlaying();
  leaveLive();
  const answered = walk.step(event);
  if (answered.kind === "accepted") buttons[kindOf(event)].edited = false;
  if (answered.kind === "accepted") moved(stepText(answered));
  else say(stepText(answered), true);
  return answered;
}

function takeKind(kind) { return take(stepsOf[kind][0]); }

function stepsFor(rows) { // for each event the step that takes one of these rows now: with the data beside it if that does
  return [...new Set(rows.map((row) => data.rows[row][2]))].map((kind) => [chosen(kind), ...stepsOf[kind]]
    .find((event) => event >= 0 && rows.includes(answer(walk.here, event).row))).filter((event) => event !== undefined);
}

function undo() {
  stopPlaying();
  leaveLive();
  const event = walk.trail[walk.place - 1];
  if (walk.jump(walk.place - 1)) moved(`Undid ${seen(data.events[event][0])}: ${describe(walk.here)}.`);
  else say("This is the start.");
}

function redo() {
  stopPlaying();
  leaveLive();
  const event = walk.trail[walk.place];
  if (walk.jump(walk.place + 1)) moved(`Redid ${seen(data.events[event][0])}: ${describe(walk.here)}.`);
  else say("Nothing was undone.");
}

function restart() {
  stopPlaying();
  leaveLive();
  walk.restart();
  moved(begin());
}

// ------------------------------------------------------------------------------------------- the address, back, forward

function openAddress() {
  const wrong = openTrace(location.hash.slice(1));
  show();
  say(wrong || (walk.place ? `From the link: ${describe(walk.here)}.` : begin()), Boolean(wrong));
  before = walk.here;
  scrollToState(configuration(walk.here)[0]);
  return wrong;
}

addEventListener("popstate", ({ state }) => {
  stopPlaying();
  leaveLive();
  if (!state) { // a link of the page, or an address that was typed
    openAddress();
    scrollTo({ top: 0 });
    return;
  }
  walk.follow(state.trail);
  walk.jump(state.place);
  show();
  say(walk.place ? `${describe(walk.here)}.` : begin());
  before = walk.here;
  scrollToState(configuration(walk.here)[0]);
});

// --------------------------------------------------------------------------------------------------------- play a path

let playing = 0;

function stopPlaying() {
  clearTimeout(playing);
  playing = 0;
  $("stop").hidden = true;
}

function playPath(events, from = 0) { // from the start, or from here
  stopPlaying();
  leaveLive();
  if (!from) walk.restart();
  scrollTo({ top: 0 });
  moved(`Playing: ${events.slice(from).map((event) => seen(data.events[event][0])).join(", ")}.`);
  $("stop").hidden = false;
  const next = () => {
    const answered = walk.step(events[walk.place]);
    show();
    say(stepText(answered));
    remember("replace");
    before = walk.here;
    scrollToState(configuration(walk.here)[0]);
    if (walk.place < events.length && answered.kind === "accepted") playing = setTimeout(next, 700);
    else stopPlaying();
  };
  if (events.length > from) playing = setTimeout(next, 400);
  else stopPlaying();
}

const goals = [...data.states.map(([text], state) => [text, (n) => configuration(n)[0] === state, data.states[state][2]]),
  ...data.outputs.map(([text], output) => [text, (n) => outputs(n).includes(output), 0])].sort((a, b) => b[2] - a[2]);
const flagged = data.variables.findIndex(([text]) => text === data.flag);
goals.push(...data.flags.filter(Boolean).map((flag) => // as in bold beside the paths
  [`the end, ${flag}`, (n) => data.states[configuration(n)[0]][2] && valueOf(configuration(n), flagged) === flag]));
$("goal").append(...goals.map(([text], goal) => make("option", { value: goal }, seen(text))));

function wayToGoal() { // play the shortest way from here, breadth first
  const [text, reached] = goals[$("goal").value], came = new Map([[walk.here, []]]);
  for (const [n, events] of came) {
    if (reached(n)) {
      if (events.length) return playPath([...walk.events(), ...events], walk.place);
      return say(`It is at ${seen(text)} already.`);
    }
    data.events.forEach((_, event) => {
      const { kind, target } = answer(n, event);
      if (kind === "accepted" && !came.has(target)) came.set(target, [...events, event]);
    });
  }
  return say(`No way on this page leads from here to ${seen(text)}.`, true);
}

// --------------------------------------------------------------------------------------------------- carrying it away

function openText(text) { // a trace, a link with a trace, or a snapshot
  stopPlaying();
  leaveLive();
  const bare = text.trim();
  let opened;
  if (bare.startsWith("{") || bare.startsWith("[")) opened = openSnapshot(bare);
  else opened = { wrong: openTrace(/^\S*:\S*#/.test(bare) || bare.startsWith("#") ? bare.slice(bare.indexOf("#") + 1) : bare) };
  moved(opened.wrong || opened.text || `The trace leads to ${describe(walk.here)}.`, -1, Boolean(opened.wrong));
  $("opened").textContent = announced;
  $("opened").className = $("status").className;
  return opened.wrong;
}

const copies = {
  link: () => location.href.split("#")[0] + addressOf(walk.events()),
  trace: () => traceOf(walk.events()),
  snapshot: () => JSON.stringify(snapshotOf(walk.here)),
  pytest: () => pytestOf(walk.events(), walk.here),
};

async function copy(what) {
  const text = copies[what]();
  $("opened").className = "";
  $("pasted").value = text;
  try {
    await navigator.clipboard.writeText(text);
    $("opened").textContent = `Copied the ${what === "pytest" ? "pytest case" : what}.`;
  } catch {
    $("pasted").select();
    $("opened").textContent = "The browser does not let the page copy: the text is selected, copy it yourself.";
  }
}

// ----------------------------------------------------------------------------------------------------- mouse and keys

function view(id) {
  for (const { paper } of pictures) paper.hidden = paper.id !== id;
  document.body.classList.toggle("wide", id === "full");
  document.querySelector(`[name=view][value=${id}]`).checked = true;
  scrollToState(configuration(walk.here)[0]);
}

function filter() {
  const words = $("filter").value.toLowerCase().split(/[\s,→>]+/).filter(Boolean);
  let some = 0;
  for (const { item, words: text } of pathItems) {
    const fits = words.every((word) => text.includes(word));
    item.hidden = !fits;
    some += fits;
  }
  $("found").textContent = `${some.toLocaleString("en")} of ${pathItems.length.toLocaleString("en")}`;
}

function clicked(target) { // in a picture
  const rows = rowsUnder(target);
  const events = [...new Set(rows.map((row) => data.rows[row][2]))];
  const legal = stepsFor(rows);
  if (legal.length === 1) take(legal[0]);
  else if (legal.length) say(`Several events go this way now: ${legal.map((event) => seen(data.events[event][0])).join(", ")}. Click one of the lines.`);
  else if (rows.length) {
    const [id, source, kind] = data.rows[rows[0]], event = Math.max(chosen(kind), stepsOf[kind][0]);
    const answered = answer(walk.here, event), text = seen(data.events[event][0]);
    if (source !== configuration(walk.here)[0]) say(`${rows.length > 1 ? "These lines belong" : `${seen(id)} belongs`} to ${stateName(source)}; it stands in ${stateName(configuration(walk.here)[0])}.`, true);
    else if (events.length > 1) say("None of these is possible now.", true);
    else if (answered.kind === "accepted") say(`${text} does not go this way now, but: ${consequence(answered.row)}. Nothing was done; click it in the list to take it.`, true);
    else say(stepText({ ...answered, event }), true);
  }
}

for (const { id, paper } of pictures) {
  paper.addEventListener("click", ({ target }) => {
    if (id === "brief" && target.closest(".state .row") && rowsUnder(target).length > 1) view("full");
    else clicked(target);
  });
  paper.addEventListener("pointerover", ({ target }) => {
    const rows = target.closest(".row") ? rowsUnder(target) : [];
    const legal = rows.filter((row) => stepsOf[data.rows[row][2]].some((event) => answer(walk.here, event).row === row));
    explain(-1, legal.length === 1 ? legal : rows);
  });
  paper.addEventListener("pointerleave", () => explain(-1));
}

for (const [id, act] of [["undo", undo], ["redo", redo], ["restart", restart], ["stop", stopPlaying], ["go", wayToGoal]]) $(id).addEventListener("click", act);
for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button.dataset.copy));
for (const radio of document.querySelectorAll("[name=view]")) radio.addEventListener("change", () => view(radio.value));
$("open").addEventListener("click", () => openText($("pasted").value));
$("filter").addEventListener("input", filter);
$("untaken").addEventListener("toggle", showCoverage);

const typing = (target) => target.matches?.("input:not([type=radio]):not([type=checkbox]), textarea, select");

addEventListener("paste", (event) => {
  const text = event.clipboardData?.getData("text/plain") ?? "";
  if (!typing(event.target) && text.trim()) openText(text);
});

const commands = { u: undo, r: redo, 0: restart, g: wayToGoal, c: () => copy("trace").then(() => say($("opened").textContent)), "/": () => $("filter").focus(),
  v: () => view($("full").hidden ? "full" : "brief"), "?": () => $("help").toggleAttribute("open"), j: () => nextEvent(1), k: () => nextEvent(-1) };

function nextEvent(by) {
  const place = buttons.findIndex(({ button }) => button === document.activeElement);
  buttons[place < 0 ? 0 : (place + by + buttons.length) % buttons.length].button.focus();
}

addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (key === "Escape" && target === $("filter")) target.blur();
  if (typing(target)) return;
  const place = buttons.findIndex(({ button }) => button === target);
  if ((key === "ArrowDown" || key === "ArrowUp") && place >= 0) {
    nextEvent(key === "ArrowDown" ? 1 : -1);
    event.preventDefault();
  } else if ($("keys").checked && key.length === 1) {
    const act = commands[key] ?? (KEYS.includes(key) && buttons[KEYS.indexOf(key)] ? () => takeKind(KEYS.indexOf(key)) : null);
    if (act) {
      event.preventDefault();
      act();
    }
  }
});

let leaveLive = () => {}; // replaced in a page that follows a journal: stop following

// The functions of the page for tests and the console.
const explorer = {
  data, walk, answer, describe, openTrace, openSnapshot, snapshotOf, pytestOf, show, take, openText,
  eventNumber: (event, given) => (data.kinds ? stepOf(event, given) : data.events.findIndex(([text]) => text === event)),
};

openAddress();
filter();
