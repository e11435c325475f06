// node run_scion.cjs DOCUMENT TOURS: walks through a chart, taken by SCION in its SCXML document.
const { readFileSync } = require("fs");
const path = require("path");
const scxml = require("@scion-scxml/scxml");

const [file, corpus] = process.argv.slice(2);
const { names, flags, accepted, tours } = JSON.parse(readFileSync(corpus));
const loaded = () => new Promise((done, failed) => scxml.pathToModel(path.resolve(file), (error, model) => (error ? failed(error) : done(model))));
const prepared = (model) => new Promise((done, failed) => model.prepare((error, made) => (error ? failed(error) : done(made))));

(async () => {
  let bad = 0, steps = 0;
  const model = await loaded();
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
      if (JSON.stringify(got) !== JSON.stringify([answer, after, word])) if (bad++ < 5) console.log(event, JSON.stringify(data), JSON.stringify(got), JSON.stringify([answer, after, word]));
    }
  }
  console.log(`${steps} steps, ${bad} differ`);
  process.exit(bad ? 1 : 0);
})();
