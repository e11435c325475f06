// The two pictures: marks on enabled rows, the last step and the present state; clicks on lines and arrows.

const pictures = ["brief", "full"].map((id) => {
  const paper = document.getElementById(id);
  const lines = [], arcs = [], boxes = [];
  for (const text of paper.querySelectorAll("text")) text.setAttribute("lengthAdjust", "spacingAndGlyphs");
  for (const line of paper.querySelectorAll("[data-r]")) lines.push({ element: line, rows: line.dataset.r.split(" ").map(Number) });
  if (id === "full") for (const { element, rows: [row, more] } of lines) if (more === undefined) element.id = `t-${data.rows[row][0]}`;
  for (const arc of paper.querySelectorAll(".arc")) {
    const rows = [...arc.querySelectorAll("[data-r]")].flatMap((line) => line.dataset.r.split(" ").map(Number));
    arcs.push({ element: arc, rows });
    arc.dataset.r = rows.join(" ");
    const line = arc.querySelector(".line"), hit = line.cloneNode(); // a thin line is hard to hit
    hit.setAttribute("class", "hit");
    line.after(hit);
  }
  for (const box of paper.querySelectorAll(".state")) boxes.push({ element: box, state: Number(box.dataset.s) });
  return { id, paper, lines, arcs, boxes };
});

function mark(element, kind, marks) {
  const now = marks ? `${kind} ${marks}` : kind;
  if (element.getAttribute("class") !== now) element.setAttribute("class", now);
}

function markPictures(enabled, beyond, last, selected) { // sets of rows; the row taken last, or -1; the rows of a path
  const state = configuration(walk.here)[0];
  for (const picture of pictures) {
    for (const [kind, parts] of [["row", picture.lines], ["arc", picture.arcs]]) {
      for (const { element, rows } of parts) {
        const marks = [];
        if (rows.some((row) => enabled.has(row))) marks.push("enabled");
        else if (rows.some((row) => selected.has(row))) marks.push("selected");
        else if (rows.some((row) => beyond.has(row))) marks.push("beyond");
        if (rows.includes(last)) marks.push("last");
        mark(element, kind, marks.join(" "));
      }
    }
    for (const box of picture.boxes) mark(box.element, "state", box.state === state ? "current" : "");
  }
}

function scrollToState(state) { // where the picture is larger than its frame
  for (const { paper, boxes } of pictures) {
    if (paper.hidden || paper.scrollHeight <= paper.clientHeight + 1 && paper.scrollWidth <= paper.clientWidth + 1) continue;
    const box = boxes.find((one) => one.state === state).element.getBoundingClientRect();
    const frame = paper.getBoundingClientRect();
    const inside = box.top >= frame.top && box.bottom <= frame.bottom && box.left >= frame.left && box.right <= frame.right;
    if (inside) continue;
    paper.scrollBy({
      left: box.left + box.width / 2 - frame.left - frame.width / 2,
      top: Math.min(box.top - frame.top - 12, box.top + box.height / 2 - frame.top - frame.height / 2),
      behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth",
    });
  }
}

function rowsUnder(target) { // the rows of the line or the arrow that was clicked or is pointed at
  const element = target.closest?.("[data-r]");
  return element ? element.dataset.r.split(" ").map(Number) : [];
}
