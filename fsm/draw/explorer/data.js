// Events that bring data: an input for each datum that makes a difference, and steps written like calls.

function split(text) { // at commas, but for those in the brackets of an event with data
  const words = [];
  for (let rest = text; rest !== undefined;) {
    const bare = rest.trimStart();
    const call = kinds.some(([name, , brings]) => brings.length && bare.startsWith(name) && bare.slice(name.length).trimStart().startsWith("("));
    const inside = call ? /^\s*[^(,]*\((?:"(?:[^"\\]|\\.)*"|[^)"])*\)/.exec(rest)?.[0].length ?? 0 : 0;
    const comma = rest.indexOf(",", inside);
    words.push(comma < 0 ? rest : rest.slice(0, comma));
    rest = comma < 0 ? undefined : rest.slice(comma + 1);
  }
  return words;
}

function stepOf(name, given) { // the step of an event with these data, those left out as in the first step; -1 if the page has none
  const kind = kinds.findIndex(([text]) => text === name);
  if (kind < 0) return -1;
  const usual = data.events[stepsOf[kind][0]][3], wanted = JSON.stringify({ ...usual, ...varying(kind, given) });
  return stepsOf[kind].find((event) => JSON.stringify({ ...data.events[event][3] }) === wanted) ?? -1;
}

function varying(kind, given) { // the data that make a difference on this page; any others do not matter
  return Object.fromEntries(Object.entries(given ?? {}).filter(([name]) => valuesOf(kind, name).length > 1));
}

function valuesOf(kind, name) { // the values of a datum on this page
  return [...new Set(stepsOf[kind].map((event) => data.events[event][3][name]))];
}

function callNamed(text) { // the step that is written so, in JSON or without quotes; undefined for other texts
  const [, name, inside] = /^([^(]*?)\s*\((.*)\)$/s.exec(text) ?? [];
  if (name === undefined) return undefined;
  const given = {};
  for (const part of inside.match(/(?:"(?:[^"\\]|\\.)*"|[^,"])+/g) ?? []) {
    const at = part.indexOf("="), value = part.slice(at + 1).trim();
    try { given[part.slice(0, at).trim()] = JSON.parse(value); } catch { given[part.slice(0, at).trim()] = value; }
  }
  const event = stepOf(name, given);
  return event < 0 ? undefined : event;
}

function dataInput(kind, text, doc, type) { // for a datum that makes a difference; whatever else there is has one value here
  const values = valuesOf(kind, text);
  if (values.length < 2) return null;
  const input = type === "bool" ? make("input", { type: "checkbox" }) : make("input", { type: "number", min: 0, step: 1, inputmode: "numeric" });
  if (type !== "bool") input.max = Math.max(...values);
  const label = make("label", { title: doc }, name(text), " ", input);
  const read = () => (type === "bool" ? input.checked : input.value.trim() === "" ? null : Number(input.value));
  const write = (value) => { if (type === "bool") input.checked = value; else if (input.value !== String(value)) input.value = value; };
  input.addEventListener("input", () => { buttons[kind].edited = true; showKind(kind); });
  input.addEventListener("keydown", (event) => { if (event.key === "Enter") takeKind(kind); });
  return { text, label, read, write, values };
}

function chosen(kind) { // the step of an event with the data that stand beside it; -1 if the page has none with them
  const { inputs } = buttons[kind];
  if (!inputs.length) return stepsOf[kind][0];
  return stepOf(kinds[kind][0], Object.fromEntries(inputs.map(({ text, read }) => [text, read()])));
}

function choose(event) { // put the data of a step beside its event
  for (const { text, write } of buttons[kindOf(event)].inputs) write(data.events[event][3][text]);
}

function limits(kind) {
  return buttons[kind].inputs.filter(({ values }) => typeof values[0] === "number")
    .map(({ text, values }) => `${seen(text)} from ${Math.min(...values)} to ${Math.max(...values)}`).join(", ");
}

function showKind(kind) {
  const { inputs, edited } = buttons[kind], open = stepsOf[kind].filter((event) => answer(walk.here, event).kind !== "refused");
  if (inputs.length && !edited) choose(open.find((event) => answer(walk.here, event).kind === "accepted") ?? open[0] ?? stepsOf[kind][0]);
  const event = chosen(kind);
  if (event < 0) return showEvent(buttons[kind], { kind: "beyond", text: `this page holds ${limits(kind)}` });
  const answered = answer(walk.here, event);
  const other = inputs.length && answered.kind === "refused" && open.length ? ` (possible: ${seen(data.events[open[0]][0])}${open.length > 1 ? ", …" : ""})` : "";
  return showEvent(buttons[kind], answered, other);
}

function takeKind(kind) { // the step of an event with the data beside it
  const event = chosen(kind);
  if (event >= 0) return take(event);
  return say(`${seen(kinds[kind][0])}: this page holds ${limits(kind)}. ${wider()}`);
}

function checksOf(events, n) { // how a test fires these events, and what it asks at the end
  const open = kinds.map((_, kind) => stepsOf[kind].some((event) => answer(n, event).kind !== "refused"));
  const plain = (answers) => kinds.filter(([, , brings], kind) => !brings.length && open[kind] === answers).map(([event]) => event);
  return [
    [`    for event, data in ${python(events.map((event) => [kinds[kindOf(event)][0], data.events[event][3]]))}:`, "        assert session.fire(event, **data)"],
    [`    assert all(map(session.may, ${python(plain(true))}))`, `    assert not any(map(session.may, ${python(plain(false))}))`],
  ];
}
