// The HTML report, opened in a real headless browser: it works without network and without an error, in light and dark, and is accessible.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";

import { launch, require } from "./launch.mjs";

const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const folder = mkdtempSync(path.join(tmpdir(), "report-"));
const plain = path.join(folder, "report.html");
const withUsers = path.join(folder, "users.html");
let browser;

before(async () => {
  execFileSync(process.env.ENFORCER, ["report", "--sandbox", "--format", "html", "--output", plain], { env: {} });
  execFileSync(process.env.ENFORCER, ["report", "--sandbox", "--access", "--format", "html", "--output", withUsers], { env: {}, stdio: "ignore" });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});

/** A report in a new page, and what went wrong or left the file while it was open. */
async function open(file = plain) {
  const page = await browser.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("console", (message) => wrong.push(message.text()));
  page.on("request", (request) => request.url() !== `file://${file}` && wrong.push(request.url()));
  await page.goto(`file://${file}`);
  return { page, wrong };
}

const names = (page) => page.$$eval("tbody tr:not([hidden]) th", (cells) => cells.map((cell) => cell.textContent));

test("the table filters by every word, over names, keys and reasons", async () => {
  const { page, wrong } = await open();
  assert.equal((await names(page)).length, 15);
  await page.type("#filter", "payments would");
  assert.deepEqual(await names(page), ["payments-us"]);
  assert.equal(await page.$eval("#shown", (output) => output.value), "1 stream");
  assert.deepEqual(wrong, []);
});

test("a column sorts up, then down, and says so", async () => {
  const { page, wrong } = await open();
  const decision = "thead th:nth-child(7)";
  const decisions = () => page.$$eval("tbody td:nth-child(7)", (cells) => cells.map((cell) => cell.textContent));
  await page.click(`${decision} button`);
  assert.equal((await decisions())[0], "compliant");
  assert.equal(await page.$eval(decision, (head) => head.ariaSort), "ascending");
  await page.click(`${decision} button`);
  assert.equal((await decisions())[0], "would-encrypt");
  assert.equal(await page.$eval(decision, (head) => head.ariaSort), "descending");
  assert.deepEqual(wrong, []);
});

for (const scheme of ["light", "dark"]) {
  for (const [name, report] of [["it", plain], ["it with users", withUsers]]) {
    test(`${name} is accessible and readable in ${scheme}`, async () => {
      const { page, wrong } = await open(report);
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run());
      assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`), []);
      assert.deepEqual(wrong, []);
    });
  }
}

test("the picture of the users has a bar for each stream, as long as it has users, and says the same in words", async () => {
  const { page } = await open(withUsers);
  const bars = await page.$$eval("#access .shares li", (items) => items.map((item) => {
    const parts = [...item.querySelectorAll("rect")].map((part) => ({ width: part.getBoundingClientRect().width, text: part.textContent }));
    return { text: item.innerText, label: item.querySelector("svg").getAttribute("aria-label"), role: item.querySelector("svg").getAttribute("role"), parts };
  }));
  const count = (part) => Number(part.text.split(": ")[1]);
  const lost = (bar) => bar.parts.filter((part) => part.text.startsWith("without access")).map(count)[0] ?? 0;
  assert.ok(bars.length > 3);
  // Who would lose access comes first, in the picture and in the table below.
  assert.deepEqual(bars.map(lost), bars.map(lost).sort((one, other) => other - one));
  const perUser = bars.flatMap((bar) => bar.parts.map((part) => part.width / count(part)));
  for (const width of perUser) assert.ok(Math.abs(width - perUser[0]) < 3, `${perUser}`);
  for (const bar of bars) {
    assert.equal(bar.role, "img");
    assert.ok(bar.text.includes(bar.label.split(": ")[1]), `${bar.label} ${bar.text}`);
  }
  const answers = await page.$$eval("#access tbody td:nth-child(4)", (cells) => cells.map((cell) => cell.textContent));
  const rank = ["loses access", "has no access", "unknown", "gone", "yes"];
  assert.deepEqual(answers, [...answers].sort((one, other) => rank.indexOf(one) - rank.indexOf(other)));
  assert.equal(answers[0], "loses access");
  // The filter is that of the table of streams.
  await page.type("#filter", "nosuch");
  assert.equal(await page.$$eval("#access tbody tr:not([hidden])", (rows) => rows.length), answers.length);
  assert.deepEqual(await page.$$eval("#streams tbody tr:not([hidden])", (rows) => rows.length), 0);
});

test("a narrow window shows a card for each user, and nothing is wider than the window", async () => {
  const { page } = await open(withUsers);
  await page.setViewport({ width: 400, height: 800 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 400);
  const shown = await page.$eval("#access tbody td", (cell) => ({ head: getComputedStyle(cell, "::before").content, display: getComputedStyle(cell).display }));
  assert.deepEqual(shown, { head: '"Stream: "', display: "block" });
  const picture = await page.$eval("#access .shares svg", (svg) => svg.getBoundingClientRect().width);
  assert.ok(picture > 250, `${picture}`);
});

test("on paper every answer and its reason are there", async () => {
  const { page } = await open(withUsers);
  await page.emulateMediaType("print");
  const rows = await page.$$eval("#access tbody tr", (rows) => rows.filter((row) => row.offsetHeight > 0).length);
  assert.equal(rows, 22);
  const text = await page.evaluate(() => document.body.innerText);
  for (const part of ["arn:aws:iam::111122223333:role/app/web-collector", "the key policy denies it", "No user is known of 6 streams"]) {
    assert.ok(text.includes(part), part);
  }
  assert.ok((await page.pdf({ preferCSSPageSize: true })).length > 10_000);
});

test("a narrow window shows a card for each stream, and nothing is wider than the window", async () => {
  const { page } = await open();
  await page.setViewport({ width: 400, height: 800 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 400);
  const shown = await page.$eval("#streams td:nth-child(6)", (cell) => ({
    head: getComputedStyle(cell, "::before").content,
    display: getComputedStyle(cell).display,
  }));
  assert.deepEqual(shown, { head: '"Configured key: "', display: "block" });
  await page.type("#filter", "payments would");
  assert.equal((await names(page)).length, 1);
});

test("on paper it is evidence: every stream, every warning and every key are there", async () => {
  const { page } = await open();
  await page.type("#filter", "payments");
  await page.emulateMediaType("print");
  const visible = await page.$$eval("#streams tbody tr", (rows) => rows.filter((row) => row.offsetHeight > 0).length);
  assert.equal(visible, 15);
  const text = await page.evaluate(() => document.body.innerText);
  for (const part of ["2 registered consumers need kms:Decrypt on the new key", "Caller", "SHA-256 of the policy"]) {
    assert.ok(text.includes(part), part);
  }
  assert.match(text, /arn:aws:kms:us-east-1:111122223333:key\/[0-9a-f-]{36}/);
  assert.equal(await page.$$eval("[title]", (elements) => elements.filter((element) => !element.closest("svg")).length), 0);
  const pdf = await page.pdf({ preferCSSPageSize: true });
  assert.ok(pdf.length > 10_000);
});
