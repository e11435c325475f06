// node run_javascript.mjs FOLDER...: the cells in each folder's cells.json, asked of its JavaScript module; a line a folder.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

for (const folder of process.argv.slice(2)) {
  const { cls, names, cells } = JSON.parse(readFileSync(`${folder}/cells.json`));
  const chart = await import(pathToFileURL(`${folder}/chart.mjs`));
  let bad = 0;
  for (const [here, event, data, answer, after, flags] of cells) {
    const session = new chart[cls]();
    const put = () => names.map((name, place) => (session[name] = here[place]));
    put();
    const sound = session.sound;
    const got = [session.fire(event, data), names.map((name) => session[name]), session.flags];
    if (!sound || !session.sound || JSON.stringify(got) !== JSON.stringify([answer, after, flags]))
      if (bad++ < 5) console.log(folder, JSON.stringify([here, event, data, answer, after, flags]), JSON.stringify(got), sound);
  }
  console.log(`${cells.length} cells, ${bad} differ`);
}
