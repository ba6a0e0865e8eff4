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
const tip = page => page.locator('#tip:not([hidden])');

// Whether two elements lie over each other.
const overlap = (page, one, other) => page.evaluate(([a, b]) => {
  const [x, y] = [a, b].map(element => element.getBoundingClientRect());
  return x.left < y.right - 1 && y.left < x.right - 1 && x.top < y.bottom - 1 && y.top < x.bottom - 1;
}, [one, other]);

// Pointing gives a tip, opening a popup: both say what the cell's data say, and cover nothing of the number's row.
async function popups(page, file) {
  const first = page.locator('td button[data-cell]').first();
  const [mean, short, results] = await first.evaluate(button => {
    const [experiment, index] = button.dataset.cell.split(':');
    const { cells, all } = JSON.parse(document.getElementById('data').textContent)[experiment];
    const cell = cells[index];
    return [cell.mean === null ? '–' : cell.mean.toFixed(3), cell.mean === null ? 'no value' : cell.mean.toFixed(2), `${cell.n} ${all}`];
  });
  const row = await first.evaluateHandle(button => button.closest('tr'));
  const holds = async (which, way, parts) => {
    try { await which(page).waitFor({ timeout: 3000 }); } catch { problems.push(`${file}: nothing opens ${way}`); return; }
    const text = await which(page).innerText();
    for (const part of parts) expect(text.includes(part), `${file}: what opens ${way} lacks ${part}`);
    expect(!await overlap(page, await which(page).elementHandle(), row), `${file}: what opens ${way} covers the row`);
  };
  const gone = async (which, way) => {
    try { await which(page).waitFor({ state: 'hidden', timeout: 3000 }); } catch { problems.push(`${file}: it stays open ${way}`); }
  };
  const whole = [mean, '95 % interval', results, 'Trace', 'expertgrid trace', 'Close'];
  await first.scrollIntoViewIfNeeded();
  await first.hover();
  await holds(tip, 'by pointing', [short]);
  expect(await popup(page).count() === 0, `${file}: pointing opens the popup`);
  await page.mouse.move(2, 2);
  await gone(tip, 'when the pointer leaves');
  await first.click();
  await holds(popup, 'by clicking', whole);
  await page.keyboard.press('Escape');
  await gone(popup, 'after Escape');
  await first.click();
  await popup(page).getByText('Close').click();
  await gone(popup, 'after Close');
  // By Tab from the link before it: the table is one stop, arrows go on within it.
  await page.evaluate(() => { document.activeElement?.blur(); });
  await page.locator('nav a').last().focus();
  for (let i = 0; i < 20; i += 1) {
    await page.keyboard.press('Tab');
    if (await first.evaluate(button => button === document.activeElement)) break;
  }
  expect(await first.evaluate(button => button === document.activeElement), `${file}: Tab does not reach the table`);
  await holds(tip, 'by Tab', [short]);
  const described = await page.evaluate(() => document.activeElement.getAttribute('aria-describedby'));
  expect(described === 'tip', `${file}: a screen reader does not read the tip`);
  await page.keyboard.press('Enter');
  await holds(popup, 'by Enter', whole);
  expect(await page.evaluate(() => document.getElementById('pop').contains(document.activeElement)), `${file}: Enter does not go into the popup`);
  await page.keyboard.press('Escape');
  await gone(popup, 'after Escape');
  expect(await first.evaluate(button => button === document.activeElement), `${file}: Escape does not lead back`);
  await page.setViewportSize({ width: 1280, height: 300 });
  await page.keyboard.press('End');
  await page.waitForTimeout(200);
  expect(await tip(page).count() === 1, `${file}: no tip at a number that the keyboard has scrolled to`);
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowRight');
  expect(await first.evaluate(button => button !== document.activeElement && document.activeElement.matches('td button')), `${file}: arrows do not move within the table`);
  await page.keyboard.press('Escape');
}

// A dot of a plot says its value, a plot is saved as a drawing of its own.
async function plots(page, file) {
  // The last one lies over the others.
  const dot = page.locator('svg g[data-cell]').last();
  if (await dot.count() === 0) return;
  await dot.scrollIntoViewIfNeeded();
  await dot.hover();
  try { await tip(page).waitFor({ timeout: 3000 }); } catch { problems.push(`${file}: a dot says nothing`); }
  await page.mouse.move(2, 2);
  for (const drawing of await page.locator('.drawing svg').all()) {
    const [ticks, title] = await drawing.evaluate(svg => [svg.querySelectorAll('text.tick.end').length, svg.querySelector('.title').textContent]);
    expect(ticks >= 3 || await drawing.locator('.heat').count() > 0, `${file}: ${title} has ${ticks} ticks`);
  }
  const button = page.locator('button.save').first();
  await button.focus();
  const [download] = await Promise.all([page.waitForEvent('download', { timeout: 3000 }), button.click()]);
  const svg = fs.readFileSync(await download.path(), 'utf8');
  expect(/^[a-z0-9-]+\.svg$/.test(download.suggestedFilename()), `${file}: a plot is saved as ${download.suggestedFilename()}`);
  const wrong = await page.evaluate(text => {
    const root = new DOMParser().parseFromString(text, 'image/svg+xml').documentElement;
    if (root.nodeName !== 'svg') return 'is no SVG';
    if (root.hasAttribute('class') || root.querySelector('[class]')) return 'has classes without a style';
    const shown = document.querySelector('.drawing svg');
    for (const name of ['text', 'line', 'path']) {
      const [found, here] = [root, shown].map(svg => [...svg.querySelectorAll(name)]);
      if (found.length !== here.length || (name === 'text' && found.length === 0)) return `has ${found.length} of ${here.length} ${name}s`;
      for (const style of ['fontSize', 'fontFamily', 'fill', 'stroke']) {
        if (found.some((element, i) => element.style[style] !== '' && element.style[style] !== getComputedStyle(here[i])[style])) return `has another ${style} of a ${name}`;
        if (style !== 'stroke' && found.some(element => element.style[style] === '')) return `has no ${style} of a ${name}`;
      }
    }
    return root.hasAttribute('width') ? null : 'has no size';
  }, svg);
  expect(wrong === null, `${file}: a saved plot ${wrong}`);
}

// The list of runs has every run once, is filtered by words and sorted by a column.
async function runs(page, file, profile) {
  const fold = page.locator('details[data-runs]').first();
  await fold.locator('summary').click();
  const [experiment, measures, by] = await fold.evaluate(fold => {
    const { name, measures, by } = JSON.parse(document.getElementById('data').textContent)[fold.dataset.runs];
    return [name, measures, by[0]];
  });
  const known = csv(path.join(results, experiment, profile, 'runs.csv'));
  const all = known.length;
  const more = fold.getByText('Show all');
  if (await more.isVisible()) await more.click();
  const rows = fold.locator('tbody tr');
  expect(await rows.count() === all, `${file}: ${experiment} has ${all} runs, the list ${await rows.count()}`);
  const listed = await rows.locator('code').allInnerTexts();
  const expected = known.map(row => row.evaluation.slice(0, 12));
  expect(listed.toSorted().join() === expected.toSorted().join(), `${file}: other digests than in runs.csv`);
  const digest = await rows.nth(all - 1).locator('code').innerText();
  await fold.locator('input').fill(digest);
  expect(await rows.count() === 1, `${file}: ${await rows.count()} runs with digest ${digest}`);
  const { method, [by]: result } = known[0];
  for (const [filter, column, value] of [[method, 'method', method], [`${by}=${result}`, by, result]]) {
    await fold.locator('input').fill(filter);
    const passing = Number((await fold.locator('[role=status]').innerText()).split(' ')[0].replaceAll(',', ''));
    const of = known.filter(row => row[column] === value).length;
    expect(passing === of, `${file}: ${passing} runs pass ${filter}, ${of} are such`);
  }
  await fold.locator('input').fill('no such run');
  expect(await rows.count() === 0, `${file}: a filter that nothing passes leaves runs`);
  await fold.locator('input').fill('');
  const head = fold.locator('thead th').filter({ hasText: measures[0] });
  const column = await head.evaluate(th => th.cellIndex);
  const values = () => fold.locator('tbody').evaluate((body, column) => [...body.rows].map(row => Number(row.cells[column].textContent.replace('−', '-'))).filter(value => !Number.isNaN(value)), column);
  await head.locator('button').click();
  const rising = await values();
  await head.locator('button').click();
  const falling = await values();
  expect(rising.every((value, i) => i === 0 || rising[i - 1] <= value), `${file}: the runs are not sorted by ${measures[0]}`);
  expect(falling.every((value, i) => i === 0 || falling[i - 1] >= value), `${file}: the runs are not sorted backwards`);
  await fold.locator('summary').click();
}

// On paper nothing is folded that can be read there.
async function print(page, file) {
  const folded = () => page.evaluate(() => document.querySelectorAll('main details:not([open], .screen)').length);
  const before = await folded();
  await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
  expect(await folded() === 0, `${file}: ${await folded()} parts are folded on paper`);
  await page.evaluate(() => dispatchEvent(new Event('afterprint')));
  expect(await folded() === before, `${file}: printing unfolds the page for good`);
}

// Files beside the page are where its links say.
async function links(page, file, folder) {
  const targets = await page.locator('.files a').evaluateAll(links => links.map(link => link.getAttribute('href')));
  expect(targets.length >= 4, `${file}: ${targets.length} links to files`);
  for (const target of targets) expect(fs.existsSync(path.join(folder, decodeURIComponent(target))), `${file}: no file at ${target}`);
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
      if (to !== url && !/^(data|blob):/.test(to)) problems.push(`${name}: a request leaves the page: ${to.slice(0, 120)}`);
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
      await plots(page, name);
      await runs(page, name, profile);
      await print(page, name);
      await links(page, name, path.dirname(file));
      await page.setViewportSize({ width: 390, height: 844 });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(wide <= 0, `${name}: wider than a phone by ${wide} pixels`);
      await page.locator('td button[data-cell]').first().click();
      const share = await popup(page).evaluate(pop => pop.offsetHeight / innerHeight);
      expect(share <= 0.6, `${name}: on a phone the popup covers ${Math.round(100 * share)} % of it`);
      await popup(page).getByText('Close').click();
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
    if (view === 'desktop') {
      await page.screenshot({ path: `${stem}-click.png` });
      await page.keyboard.press('Escape');
      await page.locator('td button[data-cell]').nth(5).hover();
      await page.waitForTimeout(300);
      await page.screenshot({ path: `${stem}-point.png` });
      await page.locator('details[data-runs] summary').first().click();
      await page.locator('details[data-runs]').first().screenshot({ path: `${stem}-runs.png` });
      await page.locator('td button[data-cell]').nth(3).click();
    }
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
