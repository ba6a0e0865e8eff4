// Opens every page of a results folder and holds it against the CSV files beside it.
// node check.mjs CHROMIUM RESULTS [FOLDER_FOR_SCREENSHOTS]
import fs from 'node:fs';
import path from 'node:path';
import os from 'node:os';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const [executablePath, results, shots] = process.argv.slice(2);
const problems = [];
const expect = (fine, what) => { if (!fine) problems.push(what); };

// Every index.html two folders down, and the pages over several tables.
const folders = fs.readdirSync(results, { withFileTypes: true }).filter(entry => entry.isDirectory() && entry.name !== 'store');
const pages = folders.flatMap(({ name }) => fs.readdirSync(path.join(results, name), { withFileTypes: true })
  .filter(entry => entry.isDirectory())
  .map(entry => path.join(results, name, entry.name, 'index.html'))
  .filter(file => fs.existsSync(file)));
pages.push(...fs.readdirSync(results).filter(name => name.endsWith('.html')).map(name => path.join(results, name)));
if (pages.length === 0) { console.error(`no pages in ${results}`); process.exit(1); }

function csv(file) {
  const [head, ...rows] = fs.readFileSync(file, 'utf8').trim().split('\n').map(line => line.split(','));
  return rows.map(row => Object.fromEntries(head.map((name, i) => [name, row[i]])));
}

// The numbers that a page shows are those of the CSV, digit for digit; what is printed is their rounding.
async function numbers(page, file, profile) {
  const shown = await page.evaluate(() => {
    const data = JSON.parse(document.getElementById('data').textContent);
    return [...document.querySelectorAll('td button[data-cell]')].map(button => {
      const [experiment, index] = button.dataset.cell.split(':');
      const words = button.cloneNode(true);
      words.querySelectorAll('.vh').forEach(hidden => hidden.remove());
      return {
        table: data[experiment].name, ...data[experiment].cells[index], text: words.textContent.trim(),
        isBold: button.querySelector('b') !== null, isUnderlined: button.querySelector('u') !== null,
      };
    });
  });
  const tables = [...new Set(shown.map(cell => cell.table))];
  expect(shown.length > 0, `${file}: shows no cells`);
  // Where a cell stands: the columns before the metric.
  const key = (place, columns, metric) => columns.map(name => place[name] ?? '').concat(metric).join('/');
  for (const table of tables) {
    const rows = csv(path.join(results, table, profile, `${table}.csv`));
    const names = Object.keys(rows[0]);
    const columns = names.slice(1, names.indexOf('metric'));
    const cells = new Map(shown.filter(cell => cell.table === table).map(cell => [key(cell.at, columns, cell.metric), cell]));
    expect(cells.size === rows.length, `${file}: ${table} has ${cells.size} cells, the CSV ${rows.length}`);
    for (const row of rows) {
      const place = key(row, columns, row.metric);
      const cell = cells.get(place);
      if (!cell) { problems.push(`${file}: no cell ${place}`); continue; }
      const same = (name, value) => expect((row[name] === '' ? null : Number(row[name])) === value, `${file}: ${place}: ${name} is ${value}, in the CSV ${row[name]}`);
      same('mean', cell.mean);
      same('sd', cell.sd);
      same('n', cell.n);
      same('p_counterpart', cell.counterpart.made ? cell.counterpart.made.p : null);
      same('runs', cell.runs);
      same('runs_defined', cell.defined);
      expect(cell.isBold === (row.bold === 'true') && cell.isUnderlined === (row.underline === 'true'), `${file}: ${place}: other marks than the CSV`);
      if (row.mean !== '') expect(Math.abs(Number(cell.text.split(/[†±]/)[0]) - Number(row.mean)) <= 0.005 + 1e-9, `${file}: ${place} shows ${cell.text}, the CSV has ${row.mean}`);
    }
  }
  return shown.length;
}

const popup = page => page.locator('#pop:popover-open');

// A popup says what the cell's data say, whichever way it is opened.
async function popups(page, file) {
  const first = page.locator('td button[data-cell]').first();
  const [mean, results] = await first.evaluate(button => {
    const [experiment, index] = button.dataset.cell.split(':');
    const { cells, all } = JSON.parse(document.getElementById('data').textContent)[experiment];
    const cell = cells[index];
    return [cell.mean === null ? '–' : cell.mean.toFixed(3), `${cell.n} ${all}`];
  });
  const holds = async way => {
    try { await popup(page).waitFor({ timeout: 3000 }); } catch { problems.push(`${file}: no popup opens ${way}`); return; }
    const text = await popup(page).innerText();
    for (const part of [mean, '95 % interval', results, 'Trace', 'expertgrid trace']) {
      expect(text.includes(part), `${file}: the popup opened ${way} lacks ${part}`);
    }
  };
  const gone = async way => {
    try { await popup(page).waitFor({ state: 'hidden', timeout: 3000 }); } catch { problems.push(`${file}: the popup stays open ${way}`); }
  };
  await first.scrollIntoViewIfNeeded();
  await first.hover();
  await holds('by pointing');
  await page.mouse.move(2, 2);
  await gone('when the pointer leaves');
  await first.click();
  await holds('by clicking');
  await page.keyboard.press('Escape');
  await gone('after Escape');
  // By Tab from the link before it: the table is one stop, arrows go on within it.
  await page.evaluate(() => { document.activeElement?.blur(); });
  await page.locator('nav a').last().focus();
  for (let i = 0; i < 20; i += 1) {
    await page.keyboard.press('Tab');
    if (await first.evaluate(button => button === document.activeElement)) break;
  }
  expect(await first.evaluate(button => button === document.activeElement), `${file}: Tab does not reach the table`);
  await page.keyboard.press('Enter');
  await holds('by Enter');
  expect(await page.evaluate(() => document.getElementById('pop').contains(document.activeElement)), `${file}: Enter does not go into the popup`);
  await page.keyboard.press('Escape');
  await gone('after Escape');
  expect(await first.evaluate(button => button === document.activeElement), `${file}: Escape does not lead back`);
  await page.keyboard.press('ArrowRight');
  expect(await first.evaluate(button => button !== document.activeElement && document.activeElement.matches('td button')), `${file}: arrows do not move within the table`);
  await page.keyboard.press('Escape');
}

async function accessible(page, file, scheme) {
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  for (const { id, impact, help, nodes } of found.violations) {
    const line = `${file}, ${scheme}: ${impact}: ${id}: ${help}: ${nodes[0].html.slice(0, 160)} (${nodes.length})`;
    if (['serious', 'critical'].includes(impact)) problems.push(line); else console.log(`note: ${line}`);
  }
}

async function look(browser, file) {
  const name = path.relative(results, file);
  const profile = file.endsWith('index.html') ? path.basename(path.dirname(file)) : path.basename(file, '.html');
  const size = fs.statSync(file).size;
  expect(size < 5 << 20, `${name}: ${size} bytes, more than 5 MiB`);
  const url = pathToFileURL(path.resolve(file)).href;
  for (const colorScheme of ['light', 'dark']) {
    const context = await browser.newContext({ colorScheme, viewport: { width: 1280, height: 900 } });
    const page = await context.newPage();
    page.on('console', message => { if (['error', 'warning'].includes(message.type())) problems.push(`${name}: console: ${message.text()}`); });
    page.on('pageerror', error => problems.push(`${name}: ${error}`));
    page.on('request', request => {
      const to = request.url();
      if (to !== url && !to.startsWith('data:')) problems.push(`${name}: a request leaves the page: ${to.slice(0, 120)}`);
    });
    await page.goto(url, { waitUntil: 'load' });
    // From the start of navigation to the second frame after loading, when everything has been laid out and painted.
    const rendered = await page.evaluate(() => new Promise(done =>
      requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())))));
    // The page's policy forbids scripts from elsewhere, so axe comes in beside it.
    const client = await context.newCDPSession(page);
    await client.send('Page.setBypassCSP', { enabled: true });
    await page.evaluate(axe);
    await accessible(page, name, colorScheme);
    if (colorScheme === 'light') {
      const cells = await numbers(page, name, profile);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(overflow <= 0, `${name}: wider than the window by ${overflow} pixels`);
      console.log(`${name}: ${size} bytes, ${cells} cells, rendered after ${Math.round(rendered)} ms`);
      await popups(page, name);
      await page.setViewportSize({ width: 390, height: 844 });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(wide <= 0, `${name}: wider than a phone by ${wide} pixels`);
    }
    await context.close();
  }
  if (shots) await photograph(browser, url, path.join(shots, name.replaceAll(/[/.]/g, '-')));
}

async function photograph(browser, url, stem) {
  fs.mkdirSync(shots, { recursive: true });
  const sharp = await browser.newContext({ viewport: { width: 1280, height: 900 }, deviceScaleFactor: 1.5 });
  const close = await sharp.newPage();
  await close.goto(url);
  for (const [name, part] of [['plot', 'figure.panels'], ['picture', '.cases']]) {
    await close.locator(part).first().screenshot({ path: `${stem}-${name}.png` });
  }
  await sharp.close();
  const views = { desktop: [1280, 900, 'light'], dark: [1280, 900, 'dark'], phone: [390, 844, 'light'] };
  for (const [view, [width, height, colorScheme]] of Object.entries(views)) {
    const context = await browser.newContext({ colorScheme, viewport: { width, height } });
    const page = await context.newPage();
    await page.goto(url);
    await page.screenshot({ path: `${stem}-${view}.png`, fullPage: true });
    await page.locator('td button[data-cell]').nth(3).click();
    await page.screenshot({ path: `${stem}-${view}-popup.png` });
    if (view === 'desktop') { await page.keyboard.press('Escape'); await page.pdf({ path: `${stem}.pdf`, format: 'A4', printBackground: false, margin: { top: '15mm', bottom: '15mm', left: '15mm', right: '15mm' } }); }
    await context.close();
  }
}

const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'expertgrid-page-'));
const browser = await chromium.launch({
  executablePath, headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', `--disk-cache-dir=${profile}`],
});
try {
  for (const page of pages) await look(browser, page);
} finally {
  await browser.close();
  fs.rmSync(profile, { recursive: true, force: true });
}
for (const problem of problems) console.error(`WRONG: ${problem}`);
console.log(`${pages.length} pages, ${problems.length} problems`);
process.exit(problems.length ? 1 : 0);
