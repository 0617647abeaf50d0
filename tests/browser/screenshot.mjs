// `make pictures`: a screenshot of the HTML report of the sample fleet, docs/pictures/report.png.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { launch } from "./launch.mjs";

const folder = mkdtempSync(path.join(tmpdir(), "report-"));
const file = path.join(folder, "report.html");
execFileSync(process.env.ENFORCER, ["report", "--sandbox", "--access", "--format", "html", "--output", file], { env: {} });
const browser = await launch();
const page = await browser.newPage();
await page.setViewport({ width: 1000, height: 1120 });
await page.goto(`file://${file}`);
await page.screenshot({ path: "docs/pictures/report.png" });
await browser.close();
rmSync(folder, { recursive: true });
console.log("written: docs/pictures/report.png");
