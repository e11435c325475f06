// The walk as text, in and out: traces, links, snapshots, and a pytest case.

const traceOf = (events) => events.map((event) => data.events[event][0]).join(",");
const addressOf = (events) => (events.length ? `#${events.map((event) => written[event]).join(",")}` : "");

function readTrace(text) { // the events of `a,b,c`, up to a problem
  const words = text.trim() === "" ? [] : split(text.trim());
  const events = [];
  for (const [place, word] of words.entries()) {
    const event = eventNamed(word);
    if (event === undefined) {
      const problem = word.trim() === "" ? "there is nothing between two commas" : `there is no event ${quoted(word)}`;
      return { events, wrong: `Event ${place + 1} of the trace: ${problem}.` };
    }
    events.push(event);
  }
  return { events, wrong: "" };
}

// Of a chart whose events bring data, data.js has other versions of these.
function split(text) { return text.split(","); }
function callNamed() { return undefined; }

function quoted(word) {
  let text = word.trim();
  try { text = decodeURIComponent(text); } catch { /* it is shown as it is */ }
  return `“${visible(text.length > 60 ? `${text.slice(0, 59)}…` : text)}”`;
}

function visible(text) { // invisible characters and direction marks as escapes
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (c) => `\\u${c.codePointAt(0).toString(16).padStart(4, "0")}`);
}

function openTrace(text) { // walk a trace from the start; the problem when it cannot be walked to its end
  const { events, wrong } = readTrace(text);
  const stop = walk.follow(events);
  if (!stop) return wrong;
  const { event, kind, reason: why, target } = stop.answered, name = seen(data.events[event][0]);
  const cannot = kind === "beyond" ? `leads beyond this page, to ${describe(target)}` : `is not possible: ${why}`;
  return `Event ${stop.place} of the trace, ${name}, ${cannot}. The walk stops before it.`;
}

function openSnapshot(text) { // go where a snapshot was taken, by a shortest way; `wrong` or `text` says how it went
  let given;
  try { given = JSON.parse(text); } catch { return { wrong: "This is neither a trace nor a snapshot: it is no JSON." }; }
  const no = (problem) => ({ wrong: `This is no snapshot of ${seen(data.chart)}: ${problem}.` });
  if (typeof given !== "object" || given === null || Array.isArray(given)) return no("it is no object");
  if (given.snapshot !== data.version) return no(`its version is ${visible(JSON.stringify(given.snapshot) ?? "missing")}`);
  if (given.fingerprint !== data.fingerprint) {
    return no(`it is of ${visible(JSON.stringify(given.chart) ?? "another chart")} with another fingerprint`);
  }
  const state = data.states.findIndex(([name]) => name === given.state), found = given.values;
  if (state < 0) return no("it names no state of the chart");
  if (typeof found !== "object" || found === null) return no("it has no values");
  const values = [];
  for (const [name, , , choices] of data.variables) {
    const value = found[name];
    const number = choices === undefined ? (Number.isInteger(value) && value >= 0 ? value : -1) : choices.indexOf(value);
    if (number < 0) return no(`its ${seen(name)} is ${visible(JSON.stringify(value) ?? "missing")}`);
    values.push(number);
  }
  const n = numberOf(state, values);
  if (n === undefined) {
    return { wrong: `The snapshot is not on this page: it lies beyond its bounds (${data.bounds.join(", ") || "none"}), ` +
      "or cannot be reached." };
  }
  walk.follow(wayTo(n));
  return { wrong: "", text: `The snapshot: ${describe(n)}. The trail shows a shortest way there.` };
}

function snapshotOf(n) {
  const here = configuration(n), values = {};
  for (const [v, [name, , , choices]] of data.variables.entries()) values[name] = choices ? choices[here[1 + v]] : here[1 + v];
  return { snapshot: data.version, chart: data.chart, fingerprint: data.fingerprint, state: data.states[here[0]][0], values };
}

// ------------------------------------------------------------------------------------------------- as a pytest case

function python(value) { // a value as Python writes it, in ASCII
  if (value === null) return "None";
  if (typeof value === "number") return String(value);
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([k, v]) => `${python(k)}: ${python(v)}`).join(", ")}}`;
  return JSON.stringify(value).replace(/[^\x20-\x7e]/gu, (c) => {
    const point = c.codePointAt(0);
    return point > 0xffff ? `\\U${point.toString(16).padStart(8, "0")}` : `\\u${point.toString(16).padStart(4, "0")}`;
  });
}

function checksOf(events, n) { // how a test fires these events, and what it asks at the end
  const legal = data.events.filter((_, event) => answer(n, event).kind !== "refused").map(([event]) => event);
  return [
    [`    for event in ${python(events.map((event) => data.events[event][0]))}:`, "        assert session.fire(event)"],
    [`    assert [event for event, verdict in session.verdicts().items() if verdict] == ${python(legal)}`],
  ];
}

function pytestOf(events, n) {
  const [module, chart] = data.where.split(":");
  const name = events.map((event) => data.events[event][0].replace(/[^A-Za-z0-9_]+/g, "_")).join("_then_").slice(0, 80);
  const [fired, answered] = checksOf(events, n);
  const { state, values } = snapshotOf(n);
  const flags = outputs(n).map((output) => data.outputs[output][0]);
  return [
    `from ${module} import ${chart}`,
    "from fsm.session import Session",
    "", "",
    `def test_${name || "start"}() -> None:`,
    `    session = Session.of(${chart})()`,
    ...fired,
    `    assert session.state == ${python(state)}`,
    `    assert session.snapshot()["values"] == ${python(values)}`,
    `    assert list(${chart}.flag_names(session.flags)) == ${python(flags)}`,
    ...answered,
    "",
  ].join("\n");
}
