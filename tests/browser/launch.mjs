// The headless browser that tests/browser/install puts into the folder named by BROWSER_TOOLS.
import { createRequire } from "node:module";
import path from "node:path";

const tools = process.env.BROWSER_TOOLS;
// It unpacks the libraries that it brings along only where it takes itself to be in Lambda.
process.env.AWS_LAMBDA_JS_RUNTIME ??= "nodejs22.x";
const { default: chromium } = await import(path.join(tools, "node_modules/@sparticuz/chromium/build/esm/index.js"));
const { default: puppeteer } = await import(path.join(tools, "node_modules/puppeteer-core/lib/esm/puppeteer/puppeteer-core.js"));

/** Resolves what is installed beside the browser. */
export const require = createRequire(path.join(tools, "package.json"));

export const launch = async () =>
  puppeteer.launch({ args: chromium.args, executablePath: await chromium.executablePath(), headless: "shell" });
