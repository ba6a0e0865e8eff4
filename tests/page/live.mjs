// Watches the page of a running sweep: prints how much is done whenever that changes, then `ended`.
// node live.mjs CHROMIUM FILE
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const [executablePath, file] = process.argv.slice(2);
const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'expertgrid-page-'));
const browser = await chromium.launch({ executablePath, headless: true, args: ['--no-sandbox', '--disable-gpu', `--disk-cache-dir=${profile}`] });
let code = 1;
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.on('pageerror', error => { console.log(`error: ${error}`); });
  await page.goto(pathToFileURL(path.resolve(file)).href);
  // What is unfolded stays so.
  await page.evaluate(() => { document.querySelector('main details').open = true; });
  const until = Date.now() + 60000;
  let last = '';
  while (Date.now() < until) {
    // In the middle of a reload there is nothing to ask.
    const seen = await page.evaluate(() => ({
      whole: document.readyState === 'complete',
      done: document.querySelector('#underway progress')?.getAttribute('value') ?? 'ended',
      stale: document.getElementById('stale')?.hidden === false,
      open: document.querySelector('main details').open,
    })).catch(() => null);
    if (seen?.whole) {
      const line = [seen.done, seen.stale ? 'stale' : '', seen.open || seen.done === 'ended' ? '' : 'folded'].join(' ').trim();
      if (line !== last) console.log(line);
      last = line;
      if (seen.done === 'ended') { code = 0; break; }
    }
    await new Promise(done => { setTimeout(done, 50); });
  }
} finally {
  await browser.close();
  fs.rmSync(profile, { recursive: true, force: true });
}
process.exit(code);
