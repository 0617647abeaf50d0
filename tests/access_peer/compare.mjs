// Compares the answers of `enforcer access` with those of another evaluator of policies, for generated cases.
//
//   node compare.mjs [--cases 5000] [--first 0] [--seed 17]
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { differences } from "./differences.mjs";
import { generated } from "./generate.mjs";
import { decisions, simulation } from "./peer.mjs";

/** The program's answers: one line in, one line out. */
class Program {
  constructor(path) {
    this.process = spawn(path, { stdio: ["pipe", "pipe", "inherit"] });
    this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]();
  }
  async ask(of, simulated) {
    const { caller, action, stream, key, keyPolicy } = of;
    this.process.stdin.write(`${JSON.stringify({ principal: caller.principal, action, stream, key, policy: keyPolicy, simulation: simulated })}\n`);
    const { value, done } = await this.lines.next();
    if (done) throw new Error("the program ended");
    return JSON.parse(value);
  }
  end() {
    this.process.stdin.end();
  }
}

const program = new Program(process.env.ACCESS_CASES);

/** The program may ask IAM about principals of the stream's account whose ARN it knows. */
const seesIdentity = ({ caller }) => ["role", "plain-role", "user"].includes(caller.kind);

/** Both answers to a case. */
async function answered(given) {
  const of = { ...given, seesIdentity: seesIdentity(given) };
  let simulated = null;
  // One in ten may not be asked about; half of the other accounts are, to compare the evaluation of both sides.
  const isAsked = of.seesIdentity ? of.seed % 10 !== 0 : of.caller.kind === "foreign" && of.seed % 2 === 0;
  if (of.caller.kind === "foreign" && isAsked) of.seesIdentity = true;
  if (isAsked) simulated = simulation(of, (await program.ask(of, null)).context);
  const ours = await program.ask(of, simulated);
  const theirs = decisions(of);
  return { of, simulated, ours, theirs };
}

/** What is wrong between both answers; null if nothing is. */
function conflict({ ours, theirs }) {
  const allowed = theirs.filter((decision) => decision === "Allowed").length;
  if (ours.verdict.answer === "yes" && allowed < theirs.length) return "yes, but they deny";
  if (ours.verdict.answer === "no" && allowed > 0) return "no, but they allow";
  return null;
}

/** A no for want of a statement that allows, and the case with the printed statements: what comes of it, and whether that is a conflict. */
async function fixed({ of, ours }) {
  const { identity, keyPolicy } = ours.fix ?? {};
  if (ours.verdict.answer !== "no" || !(identity || keyPolicy)) return null;
  const changed = structuredClone(of);
  if (identity) changed.identity = [...changed.identity, { Version: "2012-10-17", Statement: [identity] }];
  if (keyPolicy) changed.keyPolicy.Statement.push(keyPolicy);
  const isAllowed = decisions({ ...changed, seesIdentity: true }).every((decision) => decision === "Allowed");
  // The program itself may not know, for conditions that only the caller meets, and for IAM policies that it may not read.
  const { answer } = (await answered(changed)).ours.verdict;
  if (answer === "no") return { what: "the printed statements leave a no", isConflict: true };
  if (answer === "yes") return isAllowed ? { what: "yes, and they allow" } : { what: "a yes by the printed statements, but they deny", isConflict: true };
  return { what: isAllowed ? "unknown to us, and they allow" : "unknown to us, and they deny a request" };
}

/** What is wrong with a case; null if nothing is. */
async function wrong(both) {
  const outcome = await fixed(both);
  return conflict(both) ?? (outcome?.isConflict ? outcome.what : null);
}

/** The least of a case that still has the same conflict. */
async function least(given, what) {
  let smallest = given;
  const still = async (candidate) => {
    try {
      return (await wrong(await answered(candidate))) === what;
    } catch {
      return false;
    }
  };
  for (let again = true; again; ) {
    again = false;
    for (const candidate of smaller(smallest)) {
      if (await still(candidate)) {
        smallest = candidate;
        again = true;
        break;
      }
    }
  }
  return smallest;
}

/** The same case with one thing less. */
function* smaller(of) {
  const changed = (change) => {
    const copy = structuredClone(of);
    change(copy);
    return copy;
  };
  for (const name of ["boundary", "organization"]) if (of[name]) yield changed((copy) => (copy[name] = null));
  if (of.identity.length > 0) yield changed((copy) => (copy.identity = []));
  for (const index of of.identity.keys()) yield changed((copy) => copy.identity.splice(index, 1));
  if (of.worlds.length > 1) for (const index of of.worlds.keys()) yield changed((copy) => (copy.worlds = [copy.worlds[index]]));
  for (const name of Object.keys(of.worlds[0] ?? {})) yield changed((copy) => copy.worlds.forEach((world) => delete world[name]));
  const policies = (copy) => [copy.keyPolicy, ...copy.identity, copy.boundary, copy.organization].filter(Boolean);
  for (const [at, policy] of policies(of).entries()) {
    if (policy.Version !== "2012-10-17") yield changed((copy) => (policies(copy)[at].Version = "2012-10-17"));
    for (const [index, statement] of policy.Statement.entries()) {
      if (policy.Statement.length > 1) yield changed((copy) => policies(copy)[at].Statement.splice(index, 1));
      const inside = (change) => changed((copy) => change(policies(copy)[at].Statement[index]));
      for (const [operator, keys] of Object.entries(statement.Condition ?? {})) {
        for (const key of Object.keys(keys)) {
          yield inside(({ Condition }) => {
            delete Condition[operator][key];
            if (Object.keys(Condition[operator]).length === 0) delete Condition[operator];
          });
          if (Array.isArray(keys[key])) for (const value of keys[key]) yield inside(({ Condition }) => (Condition[operator][key] = value));
        }
      }
      if (statement.Condition && Object.keys(statement.Condition).length === 0) yield inside((copy) => delete copy.Condition);
      for (const [name, plain] of [["Action", "*"], ["Resource", "*"]]) {
        if (statement[name] !== plain) {
          yield inside((copy) => {
            delete copy[`Not${name}`];
            copy[name] = plain;
          });
        }
      }
      const named = statement.Principal ?? statement.NotPrincipal;
      const who = statement.Principal ? "Principal" : "NotPrincipal";
      if (typeof named === "object") {
        for (const [kind, texts] of Object.entries(named)) {
          if (Object.keys(named).length > 1) yield inside((copy) => (copy[who] = { [kind]: texts }));
          if (Array.isArray(texts)) for (const text of texts) yield inside((copy) => (copy[who][kind] = text));
        }
      }
    }
  }
}

const { values: options } = parseArgs({ options: { cases: { type: "string", default: "5000" }, first: { type: "string", default: "0" }, seed: { type: "string" } } });
const seeds = options.seed ? [Number(options.seed)] : Array.from({ length: Number(options.cases) }, (_, index) => Number(options.first) + index);

const count = (counts, name) => counts.set(name, (counts.get(name) ?? 0) + 1);
const [answers, known, kinds, reasons, fixes, unknown] = [new Map(), new Map(), new Map(), new Map(), new Map(), []];
for (const seed of seeds) {
  const both = await answered(generated(seed));
  const { answer, because } = both.ours.verdict;
  count(kinds, both.of.caller.kind);
  count(answers, answer);
  const isDecided = new Set(both.theirs.map((decision) => decision === "Allowed")).size === 1;
  if (answer === "unknown") {
    count(answers, isDecided ? "unknown, and every request that was tried has the same decision" : "unknown, and the decision depends on the request");
    if (isDecided) count(reasons, because.toLowerCase().replace(/arn:\S+/g, "…").replace(/(conditions?) on .*?(?=, whose| depends|$)/, "$1 on …").replace(/\d{12}/g, "…"));
  }
  const outcome = await fixed(both);
  if (outcome) count(fixes, outcome.what);
  const what = await wrong(both);
  if (what !== null) {
    const small = await least(generated(seed), what);
    const found = { ...(await answered(small)), what };
    const why = differences.find((difference) => difference.is(found));
    if (why) count(known, `${why.name}: ${what}`);
    else unknown.push(found);
    if (options.seed) console.log(JSON.stringify(found, null, 2));
  }
  if (options.seed) console.log(JSON.stringify(both, null, 2));
}
program.end();

const differing = [...known.values()].reduce((sum, number) => sum + number, 0) + unknown.length;
const lines = (counts) => [...counts].sort(([, one], [, other]) => other - one).map(([name, number]) => `  ${String(number).padStart(6)}  ${name}`).join("\n");
const open = answers.get("unknown") ?? 0;
console.log(`${seeds.length} cases: ${seeds.length - open - differing} agree, ${open} are unknown to us, ${differing} differ`);
console.log(`callers\n${lines(kinds)}\nanswers\n${lines(answers)}\nwith the printed statements, for a no\n${lines(fixes)}`);
console.log(`unknown though decided: why\n${lines(reasons)}`);
for (const { name, right, why } of differences) {
  console.log(`known difference, ${name}: ${right} right. ${why}`);
  console.log(lines([...known].filter(([of]) => of.startsWith(`${name}: `)).map(([of, number]) => [of.slice(name.length + 2), number])));
}
for (const { of, ours, theirs, what } of unknown.slice(0, 40)) {
  const { worlds, identity, boundary, organization, keyPolicy, caller, action, key } = of;
  console.log(`\nNOT KNOWN, seed ${of.seed}: ${what}\n${JSON.stringify({ caller, action, key, keyPolicy, identity, boundary, organization, worlds, ours: ours.verdict, fix: ours.fix, theirs: [...new Set(theirs)] }, null, 1)}`);
}
if (unknown.length > 0) {
  console.log(`\n${unknown.length} differences are not known`);
  process.exitCode = 1;
}
if (!options.seed && seeds.length >= 1000 && Math.min(answers.get("yes") ?? 0, answers.get("no") ?? 0) < seeds.length / 10) {
  console.log("too few cases are decided");
  process.exitCode = 1;
}
