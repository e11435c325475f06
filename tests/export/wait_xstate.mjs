// node wait_xstate.mjs FOLDER: rings twice, and waits for what is due then.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { createActor } = createRequire(pathToFileURL(`${process.argv[2]}/`))("xstate");
const { machine } = await import(pathToFileURL(`${process.argv[2]}/chart.mjs`));
const actor = createActor(machine);
const seen = [];
actor.subscribe({ next: ({ value }) => seen.push(value), complete: () => console.log(seen.join(" ")) });
actor.start();
actor.send({ type: "ring" });
actor.send({ type: "again" });
