// What a machine in JSON needs: setup(implementations).createMachine(machine).
import { assign } from "xstate";

const operators = {
  "==": (a, b) => a === b, "!=": (a, b) => a !== b, "<": (a, b) => a < b,
  "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
};
const sum = (values, { terms, constant }) => terms.reduce((total, [name, factor]) => total + factor * values[name], constant);
const holds = (values, { type, params: p }) => ({
  compare: () => operators[p.op](sum(values, p.left), sum(values, p.right)),
  among: () => p.values.includes(values[p.name]) !== p.negated,
  all: () => p.of.every((part) => holds(values, part)),
  any: () => p.of.some((part) => holds(values, part)),
})[type]();
const known = ({ context, event }, params) => ({ ...params.data, ...event, ...context });
const guard = (type) => (given, params) => holds(known(given, params), { type, params });
const set = assign((given, params) => Object.fromEntries(
  params.effects.map(({ name, sum: total, value }) => [name, total ? sum(known(given, params), total) : value])));

export const implementations = {
  guards: { compare: guard("compare"), among: guard("among"), all: guard("all"), any: guard("any") },
  actions: { set },
};
