// node run_scion.cjs FOLDER...: the walks in each folder's tours.json, taken by SCION in its SCXML document; a line a folder.
const { readFileSync } = require("fs");
const path = require("path");
const scxml = require("@scion-scxml/scxml");

const loaded = (file) => new Promise((done, failed) => scxml.pathToModel(file, (error, model) => (error ? failed(error) : done(model))));
const prepared = (model) => new Promise((done, failed) => model.prepare((error, made) => (error ? failed(error) : done(made))));

async function walked(folder) {
  const { names, flags, accepted, tours } = JSON.parse(readFileSync(path.join(folder, "tours.json")));
  const model = await loaded(path.resolve(folder, "chart.scxml"));
  let bad = 0, steps = 0;
  for (const tour of tours) {
    const chart = new scxml.core.Statechart(await prepared(model));
    chart.start();
    let before = 0;
    for (const [event, data, answer, after, word] of tour) {
      chart.gen({ name: event, data });
      steps++;
      const held = chart.getSnapshot()[3];
      const taken = held[accepted] - before;
      before = held[accepted];
      const got = [taken === 1, [chart.getConfiguration()[0], ...names.map((name) => held[name])], held[flags]];
      if (JSON.stringify(got) !== JSON.stringify([answer, after, word])) if (bad++ < 5) console.log(folder, event, JSON.stringify(data), JSON.stringify(got), JSON.stringify([answer, after, word]));
    }
  }
  console.log(`${steps} steps, ${bad} differ`);
}

(async () => {
  for (const folder of process.argv.slice(2)) await walked(folder);
  process.exit(0);
})();
