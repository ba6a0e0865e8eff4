// Shows the tests, results and runs of a number: by pointing, tapping, or with the keyboard. The page is complete without it.
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const pop = document.getElementById('pop');
  let opener = null, pinned = false, quiet = false, timer = 0;

  const el = (name, attributes = {}, ...children) => {
    const svg = ['svg', 'line', 'circle', 'text'].includes(name);
    const made = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children.filter(child => child !== null));
    return made;
  };
  const number = (value, digits = 3) => value.toFixed(digits).replace('-', '\u2212');
  const range = pair => `${number(pair[0])} to ${number(pair[1])}`;
  const p = value => value < 0.0001 ? '< 0.0001' : value.toFixed(4);
  const fact = (name, ...value) => el('div', {}, el('dt', {}, name), el('dd', {}, ...value));

  const find = at => {
    const [experiment, index] = at.dataset.cell.split(':');
    return { experiment: data[experiment], cell: data[experiment].cells[index] };
  };

  const against = (name, test) => {
    if (test === 'none') return [];
    if (test === 'itself') return [fact(name, 'is itself the best')];
    if (test.undefined) return [fact(name, `not tested: ${test.undefined}`)];
    const { with: other, difference, ci95, p: plain, p_holm, p_annotators, sign_flip } = test.made;
    const signed = (difference > 0 ? '+' : '') + number(difference);
    const lines = [`p ${plain < 0.0001 ? '' : '= '}${p(plain)}; adjusted by Holm ${p(p_holm)}`];
    if (p_annotators !== undefined) lines.push(`over combinations ${p(p_annotators)}`);
    if (sign_flip !== null) lines.push(`sign-flip ${p(sign_flip)}`);
    return [fact(name, `${lines.join('; ')}.`, el('br'), `Difference ${signed} (${range(ci95)}) from ${other}`)];
  };

  // The results as dots above their mean and interval.
  const strip = ({ results, ci95, mean }) => {
    const values = results.map(([, value]) => value).concat(ci95 ?? []);
    const low = Math.min(...values), high = Math.max(...values);
    if (!(high > low)) return null;
    const x = value => 8 + (value - low) / (high - low) * 364;
    const svg = el('svg', { viewBox: '0 0 380 46', 'aria-hidden': 'true', preserveAspectRatio: 'xMidYMid meet' },
      el('line', { class: 'base', x1: 8, x2: 372, y1: 15, y2: 15 }));
    for (const [, value] of results) svg.append(el('circle', { class: 'spot', cx: x(value), cy: 15, r: 5 }));
    if (ci95) svg.append(el('line', { class: 'bar', x1: x(ci95[0]), x2: x(ci95[1]), y1: 28, y2: 28 }));
    svg.append(el('line', { class: 'bar', x1: x(mean), x2: x(mean), y1: 24, y2: 32 }),
      el('text', { x: 8, y: 44 }, number(low)), el('text', { x: 372, y: 44, 'text-anchor': 'end' }, number(high)));
    return svg;
  };

  const runs = (rows, column, one) => el('details', {},
    el('summary', {}, `${rows.length} runs and the digests of their evaluations`),
    el('table', {},
      el('thead', {}, el('tr', {}, ...[one, 'experts', 'value', 'digest'].map(name => el('th', { scope: 'col' }, name)))),
      el('tbody', {}, ...rows.map(([start, experts, scores, digest]) => el('tr', {},
        el('td', {}, String(start)), el('td', {}, experts || '\u2013'),
        el('td', {}, typeof scores[column] === 'number' ? number(scores[column]) : scores[column]),
        el('td', {}, el('code', {}, digest)))))));

  const fill = ({ experiment, cell }) => {
    const rest = [];
    if (cell.failed) rest.push(`${cell.failed} failed`);
    if (cell.missing) rest.push(`${cell.missing} not run yet`);
    const marks = [];
    if (cell.bold) marks.push('bold: best or not significantly different from it');
    if (cell.underline) marks.push(`underlined: significantly better than ${experiment.against}`);
    pop.replaceChildren(...[
      el('h2', {}, cell.title),
      el('p', { class: 'big' }, cell.mean === null ? '\u2013' : number(cell.mean),
        cell.sd === null ? null : el('small', {}, ` \u00b1 ${number(cell.sd)} SD`)),
      strip(cell),
      el('dl', {}, ...[
        cell.ci95 ? fact('95 % interval', range(cell.ci95)) : null,
        fact('n', `${cell.n} ${experiment.all}; ${cell.defined} of ${cell.runs} runs with a value`
          + (rest.length ? `; ${rest.join(', ')}` : '')),
        ...against(`Against ${experiment.against}`, cell.counterpart),
        ...against('Against the best', cell.best),
        cell.worst === null ? null : fact('If undefined were worst', number(cell.worst)),
        marks.length ? fact('Marks', marks.join('; ')) : null,
        cell.results.length ? fact(`By ${experiment.one}`, el('ol', {}, ...cell.results.map(([start, value]) =>
          el('li', {}, el('span', {}, `${start}`), number(value))))) : null,
        fact('Runs', runs(experiment.places[cell.place], cell.column, experiment.one)),
        fact('Trace', el('pre', {}, cell.trace)),
      ].filter(part => part !== null)),
    ].filter(part => part !== null));
    pop.setAttribute('aria-label', `Details of ${cell.title}`);
  };

  // Beside the number, within the window; on a narrow screen the style puts it at the bottom.
  const place = at => {
    pop.style.left = pop.style.top = '';
    if (matchMedia('(max-width: 40rem)').matches) return;
    const box = at.getBoundingClientRect(), gap = 8;
    const { offsetWidth: width, offsetHeight: height } = pop;
    const right = box.right + gap + width <= innerWidth - gap;
    const left = right ? box.right + gap : Math.max(gap, box.left - gap - width);
    pop.style.left = `${left}px`;
    pop.style.top = `${Math.max(gap, Math.min(box.top - 24, innerHeight - height - gap))}px`;
  };

  const expanded = value => opener?.matches('button') && opener.setAttribute('aria-expanded', value);

  const open = (at, pin) => {
    clearTimeout(timer);
    pinned = pin;
    if (opener !== at || !pop.matches(':popover-open')) {
      expanded('false');
      opener = at;
      fill(find(at));
      if (!pop.matches(':popover-open')) pop.showPopover();
      place(at);
      pop.scrollTop = 0;
      expanded('true');
    }
    if (pin) pop.focus({ preventScroll: true });
  };
  const close = () => { if (pop.matches(':popover-open')) pop.hidePopover(); };
  const closeSoon = () => { clearTimeout(timer); if (!pinned) timer = setTimeout(close, 250); };

  // Closing gives the focus back to the number, which must not open it again.
  pop.addEventListener('beforetoggle', event => { quiet = event.newState === 'closed'; });
  pop.addEventListener('toggle', event => {
    if (event.newState !== 'closed') return;
    expanded('false');
    const inside = pop.contains(document.activeElement) || document.activeElement === document.body;
    if (pinned && inside && opener?.matches('button')) opener.focus({ preventScroll: true });
    pinned = quiet = false;
  });
  pop.addEventListener('pointerenter', () => clearTimeout(timer));
  pop.addEventListener('pointerleave', closeSoon);
  pop.addEventListener('pointerdown', () => { pinned = true; });

  const cellOf = event => event.target.closest?.('[data-cell]');
  document.addEventListener('pointerover', event => {
    const at = cellOf(event);
    if (!at || event.pointerType !== 'mouse' || pinned) return;
    clearTimeout(timer);
    timer = setTimeout(() => open(at, false), pop.matches(':popover-open') ? 40 : 140);
  });
  document.addEventListener('pointerout', event => {
    const at = cellOf(event);
    if (at && event.pointerType === 'mouse' && !at.contains(event.relatedTarget)) closeSoon();
  });
  document.addEventListener('click', event => { const at = cellOf(event); if (at) open(at, true); });
  document.addEventListener('focusin', event => {
    if (quiet || !event.target.matches?.('button[data-cell]:focus-visible')) return;
    open(event.target, false);
  });
  document.addEventListener('focusout', event => {
    if (event.target.matches?.('button[data-cell]') && !pop.contains(event.relatedTarget)) closeSoon();
  });
  addEventListener('scroll', () => { if (!pinned) close(); }, { passive: true });

  // One stop of the Tab key for each table; arrows go from number to number.
  for (const table of document.querySelectorAll('table.grid')) {
    const rows = [...table.tBodies[0].rows].map(row => [...row.querySelectorAll('button[data-cell]')]).filter(row => row.length);
    const all = rows.flat();
    all.forEach((button, i) => { button.tabIndex = i === 0 ? 0 : -1; });
    table.addEventListener('keydown', event => {
      const y = rows.findIndex(row => row.includes(event.target));
      if (y < 0) return;
      const x = rows[y].indexOf(event.target);
      const to = { ArrowLeft: [y, x - 1], ArrowRight: [y, x + 1], ArrowUp: [y - 1, x], ArrowDown: [y + 1, x], Home: [y, 0], End: [y, rows[y].length - 1] }[event.key];
      const next = to && rows[to[0]]?.[to[1]];
      if (!next) return;
      event.preventDefault();
      all.forEach(button => { button.tabIndex = -1; });
      next.tabIndex = 0;
      next.focus();
    });
  }

  // While a sweep runs, the page comes anew: not while somebody reads a number, and with what was unfolded.
  const underway = document.getElementById('underway');
  if (underway) {
    const folds = () => [...document.querySelectorAll('main details')];
    const kept = `unfolded ${location.pathname}`;
    try {
      for (const i of JSON.parse(sessionStorage.getItem(kept) ?? '[]')) folds()[i]?.setAttribute('open', '');
    } catch { /* without storage they are folded again */ }
    const age = () => Date.now() / 1000 - Number(underway.dataset.at);
    setInterval(() => {
      document.getElementById('stale').hidden = age() < 600;
      if (pop.matches(':popover-open')) return;
      try {
        sessionStorage.setItem(kept, JSON.stringify(folds().flatMap((fold, i) => fold.open ? [i] : [])));
      } catch { /* as above */ }
      location.reload();
    }, Number(underway.dataset.again));
    document.getElementById('stale').hidden = age() < 600;
  }

  // The date is the file's, so that the same results are the same bytes.
  const changed = new Date(document.lastModified);
  if (!Number.isNaN(changed.getTime())) {
    document.getElementById('dated').textContent = `This file is of ${changed.toLocaleDateString(undefined, { dateStyle: 'long' })}.`;
  }
})();
