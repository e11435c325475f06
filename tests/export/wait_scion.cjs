// node wait_scion.cjs DOCUMENT: rings twice, and waits for what is due then.
const path = require("path");
const scxml = require("@scion-scxml/scxml");

scxml.pathToModel(path.resolve(process.argv[2]), (_, model) =>
  model.prepare((_, made) => {
    const chart = new scxml.core.Statechart(made);
    const seen = [];
    chart.on("onEntry", (state) => {
      if (state === "ringing" || state === "over") seen.push(state);
      if (state === "over") console.log(seen.join(" "));
    });
    chart.start();
    chart.gen({ name: "ring" });
    chart.gen({ name: "again" });
  }));
