// node run_javascript.mjs MODULE CELLS: the cells of a chart, asked of its JavaScript module.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [file, corpus] = process.argv.slice(2);
const { cls, names, cells } = JSON.parse(readFileSync(corpus));
const chart = await import(pathToFileURL(file));
let bad = 0;
for (const [here, event, data, answer, after, flags] of cells) {
  const session = new chart[cls]();
  const put = () => names.map((name, place) => (session[name] = here[place]));
  put();
  const sound = session.sound;
  const got = [session.fire(event, data), names.map((name) => session[name]), session.flags];
  if (!sound || !session.sound || JSON.stringify(got) !== JSON.stringify([answer, after, flags]))
    if (bad++ < 5) console.log(JSON.stringify([here, event, data, answer, after, flags]), JSON.stringify(got), sound);
}
console.log(`${cells.length} cells, ${bad} differ`);
process.exitCode = bad ? 1 : 0;
