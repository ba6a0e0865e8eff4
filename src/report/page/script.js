// Shows the test of a number by pointing, its results and runs by clicking, tapping or with the keyboard; lists and filters
// runs; saves plots. The tables are complete without it.
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const pop = document.getElementById('pop'), tip = document.getElementById('tip');
  let opener = null, described = null, timer = 0;

  const el = (name, attributes = {}, ...children) => {
    const svg = ['svg', 'line', 'circle', 'rect', 'text'].includes(name);
    const made = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children.filter(child => child !== null));
    return made;
  };
  const number = (value, digits = 3) => value.toFixed(digits).replace(/^-(?=0\.?0*$)/, '').replace('-', '\u2212');
  const signed = (value, digits = 3) => (value > 0 ? '+' : '') + number(value, digits);
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
    const lines = [`p ${plain < 0.0001 ? '' : '= '}${p(plain)}; adjusted by Holm ${p(p_holm)}`];
    if (p_annotators !== undefined) lines.push(`over combinations ${p(p_annotators)}`);
    if (sign_flip !== null) lines.push(`sign-flip ${p(sign_flip)}`);
    return [fact(name, `Difference ${signed(difference)} (95 % ${range(ci95)})`, el('br'), `from ${other}`, el('br'), `${lines.join('; ')}.`)];
  };

  // Round values within a range, about four of them, at least three.
  const ticks = (low, high) => {
    const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
    const steps = [10, 5, 2, 1, 0.5, 0.2].map(factor => factor * power);
    for (const step of steps.slice(Math.max(0, steps.findLastIndex(step => step >= rough * 0.999)))) {
      const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
      const found = [];
      for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) found.push([i * step, number(i * step, digits)]);
      if (found.length > 2) return found;
    }
    return [];
  };

  // The results as dots above their mean and interval, those of the cell that it is compared with below them, on one scale.
  const strip = (experiment, cell) => {
    const other = experiment.cells[cell.beside] ?? null;
    const rows = [[cell, 'with'], [other, 'without']].filter(([row]) => row?.results.length);
    const values = rows.flatMap(([row]) => row.results.map(([, value]) => value).concat(row.ci95 ?? []));
    const low = Math.min(...values), high = Math.max(...values);
    if (!(high > low)) return null;
    const x = value => 10 + (value - low) / (high - low) * 360, bottom = 26 * rows.length + 2;
    const svg = el('svg', { viewBox: `0 0 380 ${bottom + 16}`, 'aria-hidden': 'true' });
    for (const [value, label] of ticks(low, high)) {
      svg.append(el('line', { class: 'base', x1: x(value), x2: x(value), y1: 2, y2: bottom }), el('text', { x: x(value), y: bottom + 12, 'text-anchor': 'middle' }, label));
    }
    rows.forEach(([row, name], i) => {
      const y = 10 + 26 * i;
      for (const [, value] of row.results) {
        svg.append(name === 'with' ? el('circle', { class: `spot ${name}`, cx: x(value), cy: y, r: 4.5 })
          : el('rect', { class: `spot ${name}`, x: x(value) - 4, y: y - 4, width: 8, height: 8 }));
      }
      if (row.ci95) svg.append(el('line', { class: 'bar', x1: x(row.ci95[0]), x2: x(row.ci95[1]), y1: y + 9, y2: y + 9 }));
      if (row.mean !== null) svg.append(el('line', { class: 'bar', x1: x(row.mean), x2: x(row.mean), y1: y + 6, y2: y + 12 }));
    });
    const told = other?.results.length ? `${experiment.against || 'compared with'}: squares. Bars: means and 95 % intervals.` : 'Bar: mean and 95 % interval.';
    return el('div', {}, svg, el('p', { class: 'key' }, `Dots: one ${experiment.one} each. ${told}`));
  };

  const runs = (rows, column, one) => el('details', {},
    el('summary', {}, rows.length === 1 ? '1 run and the digest of its evaluation' : `${rows.length} runs and the digests of their evaluations`),
    el('table', {},
      el('thead', {}, el('tr', {}, ...[one, 'experts', 'value', 'digest'].map(name => el('th', { scope: 'col' }, name)))),
      el('tbody', {}, ...rows.map(([start, experts, scores, digest]) => el('tr', {},
        el('td', {}, String(start)), el('td', {}, experts || '\u2013'),
        el('td', {}, typeof scores[column] === 'number' ? number(scores[column]) : scores[column]),
        el('td', {}, el('code', {}, digest)))))));

  // What a cell lacks, in words.
  const rest = cell => {
    const parts = [];
    if (cell.failed) parts.push(`${cell.failed} failed`);
    if (cell.missing) parts.push(`${cell.missing} not run yet`);
    return parts;
  };

  const fill = ({ experiment, cell }) => {
    const marks = [];
    if (cell.bold) marks.push('bold: best or not significantly different from it');
    if (cell.underline) marks.push(`underlined: significantly better than ${experiment.against}`);
    const away = el('button', { type: 'button', class: 'away' }, 'Close');
    away.addEventListener('click', close);
    pop.replaceChildren(...[
      el('div', { class: 'head' }, el('h2', {}, cell.title), away),
      el('p', { class: 'big' }, cell.mean === null ? '\u2013' : number(cell.mean),
        cell.sd === null ? null : el('small', {}, ` \u00b1 ${number(cell.sd)} SD`)),
      strip(experiment, cell),
      el('dl', {}, ...[
        cell.ci95 ? fact('95 % interval', range(cell.ci95)) : null,
        fact('Mean of', `${cell.n} ${experiment.all}; ${[`${cell.defined} of ${cell.runs} runs have a value`, ...rest(cell)].join(', ')}`),
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

  // Beside the table or plot, so that what it is compared with stays in sight; where there is no room, below or above the
  // number. On a narrow screen the style puts it at the bottom.
  const place = at => {
    pop.style.left = pop.style.top = pop.style.maxHeight = '';
    if (matchMedia('(max-width: 40rem)').matches) return;
    const box = at.getBoundingClientRect(), whole = (at.closest('.scroll, .drawing') ?? at).getBoundingClientRect(), gap = 10;
    const { offsetWidth: width, offsetHeight: height } = pop;
    const within = (value, most) => Math.max(gap, Math.min(value, most - gap));
    let left, top = within(box.top - 24, innerHeight - height);
    if (whole.right + gap + width <= innerWidth - gap) left = whole.right + gap;
    else if (whole.left - gap - width >= gap) left = whole.left - gap - width;
    else {
      // Towards the side where its column is not.
      left = box.left + box.width / 2 < innerWidth / 2 ? Math.max(gap, innerWidth - width - gap) : gap;
      const below = innerHeight - box.bottom - 2 * gap, above = box.top - 2 * gap;
      pop.style.maxHeight = `${Math.max(below, above)}px`;
      top = below >= above ? box.bottom + gap : Math.max(gap, box.top - gap - pop.offsetHeight);
    }
    pop.style.left = `${left}px`;
    pop.style.top = `${top}px`;
  };

  // The value and its test in a few words, above the number.
  const point = at => {
    const { experiment, cell } = find(at);
    const test = cell.counterpart.made;
    const lines = [
      cell.mean === null ? 'no value' : `${number(cell.mean, 2)}${cell.sd === null ? '' : ` \u00b1 ${number(cell.sd, 2)}`}`,
      cell.ci95 ? `95 % ${number(cell.ci95[0], 2)} to ${number(cell.ci95[1], 2)}` : null,
      test ? `${signed(test.difference, 2)} against ${experiment.against}, p ${test.p < 0.0001 ? '' : '= '}${p(test.p)}` : null,
      rest(cell).join(', ') || null,
    ].filter(line => line !== null);
    // In a table the place is plain; a dot of a plot says what it is.
    if (!at.matches('button')) lines.unshift(cell.title);
    tip.replaceChildren(...lines.map((line, i) => el(i === 0 ? 'b' : 'span', {}, line)));
    tip.hidden = false;
    described?.removeAttribute('aria-describedby');
    described = at;
    at.setAttribute('aria-describedby', 'tip');
    const box = at.getBoundingClientRect(), row = (at.closest('tr') ?? at).getBoundingClientRect(), gap = 2;
    const left = Math.max(gap, Math.min(box.left + box.width / 2 - tip.offsetWidth / 2, innerWidth - tip.offsetWidth - gap));
    const top = row.top - tip.offsetHeight - gap;
    tip.style.left = `${left}px`;
    tip.style.top = `${top >= gap ? top : row.bottom + gap}px`;
  };
  const unpoint = () => {
    clearTimeout(timer);
    tip.hidden = true;
    described?.removeAttribute('aria-describedby');
    described = null;
  };

  const expanded = value => opener?.matches('button') && opener.setAttribute('aria-expanded', value);

  function close() { if (pop.matches(':popover-open')) pop.hidePopover(); }
  const open = at => {
    unpoint();
    if (opener !== at || !pop.matches(':popover-open')) {
      expanded('false');
      opener = at;
      fill(find(at));
      if (!pop.matches(':popover-open')) pop.showPopover();
      place(at);
      pop.scrollTop = 0;
      expanded('true');
    }
    pop.focus({ preventScroll: true });
  };

  addEventListener('resize', () => { if (pop.matches(':popover-open')) place(opener); });

  // Closing gives the focus back to the number.
  pop.addEventListener('toggle', event => {
    if (event.newState !== 'closed') return;
    expanded('false');
    const inside = pop.contains(document.activeElement) || document.activeElement === document.body;
    if (inside && opener?.matches('button')) opener.focus({ preventScroll: true });
    unpoint();
  });

  const cellOf = event => event.target.closest?.('[data-cell]');
  document.addEventListener('pointerover', event => {
    const at = cellOf(event);
    if (!at || event.pointerType !== 'mouse' || pop.matches(':popover-open')) return;
    clearTimeout(timer);
    timer = setTimeout(() => point(at), tip.hidden ? 120 : 20);
  });
  document.addEventListener('pointerout', event => {
    const at = cellOf(event);
    if (at && event.pointerType === 'mouse' && !at.contains(event.relatedTarget)) unpoint();
  });
  document.addEventListener('click', event => { const at = cellOf(event); if (at) open(at); });
  document.addEventListener('focusin', event => {
    if (event.target.matches?.('button[data-cell]:focus-visible')) point(event.target);
  });
  document.addEventListener('focusout', event => { if (event.target.matches?.('button[data-cell]')) unpoint(); });
  document.addEventListener('keydown', event => { if (event.key === 'Escape') unpoint(); });
  // The browser scrolls a number into sight that the keyboard has reached: the tip goes with it.
  addEventListener('scroll', () => {
    const at = document.activeElement;
    if (!pop.matches(':popover-open') && at?.matches('button[data-cell]:focus-visible')) point(at); else unpoint();
  }, { passive: true, capture: true });

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

  // All runs of an experiment, made when they are unfolded.
  const MOST = 200;
  const listed = experiment => {
    // A place is shared by its cells, one for each measure.
    const places = new Map(experiment.cells.map(cell => [cell.place, cell.at]));
    const plain = { new_expert: 'expert', train_expert: 'trained on', method: 'method', samples: 'samples', experts: 'experts' };
    const rank = axis => (Object.keys(plain).indexOf(axis) + 1) || 99;
    // The annotators have a column of their own, axis or not.
    const all = new Set([...places.values()].flatMap(Object.keys));
    const axes = [...all].filter(axis => axis !== 'annotators').sort((a, b) => rank(a) - rank(b));
    const heads = [...axes.map(axis => plain[axis] ?? axis), experiment.one, 'annotators', ...experiment.measures, 'digest'];
    const rows = [...places].sort(([a], [b]) => a - b).flatMap(([place, at]) => experiment.places[place].map(
      ([result, experts, scores, digest]) => [...axes.map(axis => at[axis] ?? ''), String(result), experts, ...scores, digest]));
    const shown = value => typeof value === 'number' ? number(value) : value || '\u2013';
    const last = heads.length - 1, first = last - experiment.measures.length;
    let by = null, falling = false, most = MOST;
    const field = el('input', { type: 'search', placeholder: 'n=10 w/ 1+2+3' });
    const count = el('span', { role: 'status' }), body = el('tbody'), more = el('button', { type: 'button' }, 'Show all');
    // A word is a whole entry, or the beginning of a digest; column=value is an entry of that column.
    const names = { n: 'samples', k: 'experts', train_expert: 'trained on' };
    if (experiment.by.length === 1) names[experiment.by[0]] = experiment.one;
    const wanted = row => field.value.trim().split(/\s+/).every(word => {
      if (word === '') return true;
      const at = word.indexOf('=');
      if (at < 0) return row.some(entry => shown(entry) === word) || row[last].startsWith(word);
      const column = heads.indexOf(names[word.slice(0, at)] ?? word.slice(0, at));
      return column >= 0 && String(row[column]) === word.slice(at + 1);
    });
    // What has no value is last, whichever way the others are sorted.
    const isThere = value => by >= first && by < last ? typeof value === 'number' : value !== '';
    const order = (x, y) => typeof x === 'number' ? x - y : x.localeCompare(y, 'en', { numeric: by !== last });
    const draw = () => {
      let found = rows.filter(wanted);
      if (by !== null) {
        const [there, absent] = [found.filter(row => isThere(row[by])), found.filter(row => !isThere(row[by]))];
        there.sort((a, b) => falling ? order(b[by], a[by]) : order(a[by], b[by]));
        found = there.concat(absent);
      }
      body.replaceChildren(...found.slice(0, most).map(row => el('tr', {}, ...row.map((value, i) =>
        el('td', {}, i === last ? el('code', {}, value) : shown(value))))));
      more.hidden = found.length <= most;
      count.textContent = `${found.length.toLocaleString('en')} of ${rows.length.toLocaleString('en')} runs${more.hidden ? '' : `, the first ${most} shown`}`;
    };
    const cells = heads.map((head, i) => {
      const button = el('button', { type: 'button' }, head);
      const cell = el('th', { scope: 'col' }, button);
      button.addEventListener('click', () => {
        [by, falling] = [i, by === i && !falling];
        cells.forEach(other => other.removeAttribute('aria-sort'));
        cell.setAttribute('aria-sort', falling ? 'descending' : 'ascending');
        draw();
      });
      return cell;
    });
    field.addEventListener('input', () => { most = MOST; draw(); });
    const list = el('div', { class: 'scroll long', tabindex: 0, role: 'group', 'aria-label': 'Runs' },
      el('table', { class: 'runs' }, el('thead', {}, el('tr', {}, ...cells)), body));
    more.addEventListener('click', () => { most = Infinity; draw(); list.focus({ preventScroll: true }); });
    draw();
    return [
      el('p', { class: 'filter' }, el('label', {}, 'Filter ', field), ' ', count, ' ', more, el('br'),
        'Runs that have all of these words as entries, the beginning of a digest, or column=value.'),
      list,
    ];
  };
  for (const fold of document.querySelectorAll('details[data-runs]')) {
    const make = () => { if (!fold.querySelector('table')) fold.append(...listed(data[fold.dataset.runs])); };
    fold.addEventListener('toggle', () => { if (fold.open) make(); });
  }

  // A plot as a file of its own: with the colours that it has here, since the page's style stays behind.
  const STYLES = ['fill', 'fill-opacity', 'stroke', 'stroke-width', 'stroke-dasharray', 'stroke-linejoin', 'opacity', 'font-family', 'font-size', 'font-weight', 'font-variant-numeric', 'text-anchor'];
  const save = svg => {
    const copy = svg.cloneNode(true), from = svg.querySelectorAll('*'), into = copy.querySelectorAll('*');
    into.forEach((element, i) => {
      const style = getComputedStyle(from[i]);
      for (const name of STYLES) element.style.setProperty(name, style.getPropertyValue(name));
      for (const name of ['class', 'data-cell']) element.removeAttribute(name);
    });
    copy.removeAttribute('class');
    const [, , width, height] = copy.getAttribute('viewBox').split(' ');
    const named = { xmlns: 'http://www.w3.org/2000/svg', width, height };
    for (const [name, value] of Object.entries(named)) copy.setAttribute(name, value);
    copy.style.background = getComputedStyle(document.documentElement).backgroundColor;
    const title = `${svg.closest('article')?.id ?? document.title} ${svg.closest('figure')?.querySelector('figcaption strong')?.textContent ?? ''} ${svg.querySelector('.title')?.textContent ?? ''}`;
    const name = title.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-+|-+$/g, '').toLowerCase();
    const link = el('a', { download: `${name}.svg`, href: URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], { type: 'image/svg+xml' })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  for (const button of document.querySelectorAll('button.save')) {
    button.hidden = false;
    const svg = button.parentElement.querySelector('svg');
    button.setAttribute('aria-label', `Save as SVG: ${svg.querySelector('.title')?.textContent ?? 'plot'}`);
    button.addEventListener('click', () => save(svg));
  }

  // Paper has no folds.
  let unfolded = [];
  addEventListener('beforeprint', () => {
    unfolded = [...document.querySelectorAll('details:not([open], .screen)')];
    for (const fold of unfolded) fold.open = true;
  });
  addEventListener('afterprint', () => { for (const fold of unfolded) fold.open = false; });

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
      if (pop.matches(':popover-open') || document.activeElement?.closest('details[data-runs]')) return;
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
