// A served page follows a journal: the server sends its events, and the page takes the same steps.

const follow = { on: true, session: null, walks: new Map(), over: "" };

function beginning(snapshot) { // where a session began: the start, or a shortest way from it
  const before = { trail: walk.trail, stands: walk.stands, place: walk.place };
  const opened = openSnapshot(JSON.stringify(snapshot));
  const events = walk.events();
  Object.assign(walk, before);
  return opened.wrong ? null : events;
}

function received(record) { // one record of the journal
  const known = follow.walks.get(record.session);
  if (record.start || !known) follow.walks.set(record.session, { events: record.start ? beginning(record.start) : [], beyond: "" });
  if (follow.session === null) follow.session = record.session;
  const one = follow.walks.get(record.session);
  if (record.event === undefined) return;
  const event = explorer.eventNumber(record.event, record.data);
  one.refusal = record.accepted ? "" : `${seen(record.event)} was refused: ${record.reason}.`;
  if (!record.accepted) return;
  if (event < 0) one.events = null; // with data that the page does not hold
  if (one.events !== null) one.events.push(event);
  one.at = record.at;
}

function followed() { // show where the followed session stands
  $("live-session").replaceChildren(...[...follow.walks.keys()].map((text) => {
    const option = make("option", { value: text }, visible(text));
    option.selected = text === follow.session;
    return option;
  }));
  const one = follow.walks.get(follow.session);
  if (!one) return;
  if (follow.on) {
    let stop = one.events === null ? true : walk.follow(one.events);
    if (stop && one.at) { // the session left the page, and may have come back
      const events = beginning(one.at);
      if (events !== null) {
        one.events = events;
        stop = walk.follow(events);
      }
    }
    show();
    say(stop ? `The session stands beyond this page. ${wider()}` : one.refusal || `The session: ${describe(walk.here)}.`);
    remember("replace");
    before = walk.here;
    scrollToState(configuration(walk.here)[0]);
  }
}

function liveState() {
  $("live-status").textContent = follow.over || (follow.on ? "live" : "you stepped away");
  $("live-on").hidden = follow.on || Boolean(follow.over);
  $("live").dataset.on = String(follow.on && !follow.over);
}

$("live").append(make("span", { class: "dot", "aria-hidden": "true" }), " ", make("span", { id: "live-status", role: "status" }), ` · ${data.follows} `,
  make("label", { for: "live-session", class: "unseen" }, "Session"), make("select", { id: "live-session" }), " ",
  make("button", { type: "button", id: "live-on" }, "Follow again"));
$("live").hidden = false;
$("live-on").addEventListener("click", () => { follow.on = true; followed(); liveState(); });
$("live-session").addEventListener("change", ({ target }) => { follow.session = target.value; follow.on = true; followed(); liveState(); });
leaveLive = () => { follow.on = false; liveState(); };

const source = new EventSource("events");
source.addEventListener("message", ({ data: text }) => {
  const message = JSON.parse(text);
  if (message.again) follow.walks.clear();
  message.records.forEach(received);
  if (message.over) {
    follow.over = message.over;
    source.close();
  }
  if (message.records.length) followed();
  liveState();
});
source.addEventListener("error", () => {
  if (follow.over) return;
  $("live-status").textContent = "the server is not answering";
  $("live").dataset.on = "false";
});
liveState();
