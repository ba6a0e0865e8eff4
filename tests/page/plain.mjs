// Looks at a page without numbers to open: `node plain.mjs CHROMIUM FILE`.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const [executablePath, file] = process.argv.slice(2);
const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'expertgrid-page-'));
const browser = await chromium.launch({ executablePath, headless: true, args: ['--no-sandbox', '--disable-gpu', `--disk-cache-dir=${profile}`] });
const problems = [];
try {
  for (const colorScheme of ['light', 'dark']) {
    const context = await browser.newContext({ colorScheme, viewport: { width: 1280, height: 900 } });
    const page = await context.newPage();
    page.on('console', message => { if (['error', 'warning'].includes(message.type())) problems.push(`console: ${message.text()}`); });
    page.on('pageerror', error => problems.push(String(error)));
    await page.goto(pathToFileURL(path.resolve(file)).href);
    const client = await context.newCDPSession(page);
    await client.send('Page.setBypassCSP', { enabled: true });
    await page.evaluate(axe);
    const found = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
    for (const { id, impact, help, nodes } of found.violations) {
      if (['serious', 'critical'].includes(impact)) problems.push(`${colorScheme}: ${id}: ${help}: ${nodes[0].html.slice(0, 160)}`);
    }
    for (const [width, height] of [[1280, 900], [390, 844]]) {
      await page.setViewportSize({ width, height });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wide > 0) problems.push(`wider than ${width} pixels by ${wide}`);
    }
    const size = await page.evaluate(() => {
      const label = document.querySelector('svg text.tick').getBoundingClientRect();
      return label.height;
    });
    if (size < 8) problems.push(`labels of ${size} pixels on a phone`);
    await context.close();
  }
} finally {
  await browser.close();
  fs.rmSync(profile, { recursive: true, force: true });
}
for (const problem of problems) console.error(`WRONG: ${problem}`);
console.log(`${problems.length} problems`);
process.exit(problems.length ? 1 : 0);
