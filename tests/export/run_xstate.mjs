// node run_xstate.mjs FOLDER...: the walks in each folder's tours.json, taken by XState's own `transition` in the module and in the JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

for (const folder of process.argv.slice(2)) {
  const { names, tours } = JSON.parse(readFileSync(`${folder}/tours.json`));
  const need = createRequire(pathToFileURL(`${folder}/`));
  const { initialTransition, setup, transition } = need("xstate");
  const { machine, flags } = await import(pathToFileURL(`${folder}/chart.mjs`));
  const { implementations } = await import(pathToFileURL(`${folder}/plain.host.mjs`));
  const plain = setup(implementations).createMachine(JSON.parse(readFileSync(`${folder}/plain.json`)));
  let bad = 0, steps = 0;
  for (const [kind, one] of [["module", machine], ["JSON", plain]])
    for (const tour of tours) {
      let [here] = initialTransition(one);
      for (const [type, data, answer, after, word] of tour) {
        const event = { type, ...data };
        const can = here.can(event);
        [here] = transition(one, here, event);
        steps++;
        const got = [can, [here.value, ...names.map((name) => here.context[name])], flags(here)];
        if (JSON.stringify(got) !== JSON.stringify([answer, after, word])) if (bad++ < 5) console.log(folder, kind, JSON.stringify(event), JSON.stringify(got), JSON.stringify([answer, after, word]));
      }
    }
  console.log(`${steps} steps, ${bad} differ`);
}
