// node trace_scion.cjs DOCUMENT TRACE...: where SCION is after each trace of events, and what the data are.
const path = require("path");
const scxml = require("@scion-scxml/scxml");

scxml.pathToModel(path.resolve(process.argv[2]), async (error, model) => {
  if (error) throw error;
  for (const trace of process.argv.slice(3)) {
    const chart = new scxml.core.Statechart(await new Promise((done) => model.prepare((_, made) => done(made))));
    chart.start();
    for (const name of trace.split(",")) chart.gen({ name });
    console.log(JSON.stringify([chart.getConfiguration(), chart.getSnapshot()[3]]));
  }
});
