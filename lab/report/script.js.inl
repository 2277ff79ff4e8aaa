R"js(
'use strict';
(() => {
  const root = document.documentElement, $ = id => document.getElementById(id), read = id => JSON.parse($(id).textContent);
  const page = read('page'), charts = new Map(read('charts').map(chart => [chart.id, chart]));
  root.classList.add('scripted');
  const language = () => $('lang-zh') && $('lang-zh').checked ? 'zh' : 'en';

  // Language and theme: the address (#lang=zh&theme=dark), what was chosen before, or the browser's language.
  const remembered = { get: key => { try { return localStorage.getItem('gamut-' + key) } catch { return null } },
                       set: (key, value) => { try { localStorage.setItem('gamut-' + key, value) } catch { /* private window */ } } };
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const group of ['lang', 'theme']) {
    const wanted = asked.get(group) || remembered.get(group) || (group === 'lang' && navigator.language.startsWith('zh') ? 'zh' : null);
    const input = wanted && $(group + '-' + wanted);
    if (input) input.checked = true;
    for (const option of document.querySelectorAll(`input[name=${group}]`)) {
      option.addEventListener('change', () => { remembered.set(group, option.id.slice(group.length + 1)); name(); });
    }
  }
  function name() {
    root.lang = language() === 'zh' ? 'zh-Hans' : 'en';
    document.title = page.title[language()];
  }
  name();

  // CSV of the table that stands below a chart.
  const shown = cell => [...cell.querySelectorAll('[lang]')].length
    ? [...cell.querySelectorAll(`[lang=${language()}]`)].map(part => part.textContent).join(' ') : cell.textContent;
  for (const button of document.querySelectorAll('.copy')) {
    button.addEventListener('click', async () => {
      const rows = [...$(button.dataset.copy).querySelectorAll('tr')];
      const quoted = text => '"' + text.trim().replaceAll('"', '""') + '"';
      const csv = rows.map(row => [...row.cells].filter(cell => !cell.classList.contains('drawn')).map(cell => quoted(shown(cell))).join(',')).join('\n') + '\n';
      try { await navigator.clipboard.writeText(csv); } catch {
        const area = document.body.appendChild(document.createElement('textarea'));
        area.value = csv; area.select(); document.execCommand('copy'); area.remove();
      }
      const label = button.innerHTML;
      button.textContent = page.copied[language()];
      setTimeout(() => { button.innerHTML = label; }, 1200);
    });
  }

  // Read-out under the pointer.
  const box = document.body.appendChild(document.createElement('div'));
  box.className = 'read-out'; box.hidden = true;
  const pixel = (axis, value) => {
    const f = axis.log ? Math.log : v => v, [low, high] = axis.values, [from, to] = axis.pixels;
    return from + (f(value) - f(low)) / (f(high) - f(low)) * (to - from);
  };
  const digits = value => Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en') : Number(value.toPrecision(4)).toString();
  const svgNode = (tag, attributes) => {
    const node = document.createElementNS(document.querySelector('svg').namespaceURI, tag);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    return node;
  };
  for (const svg of document.querySelectorAll('svg[data-chart]')) {
    const chart = charts.get(svg.dataset.chart);
    if (!chart) continue;
    let layer = null;
    const leave = () => { if (layer) layer.remove(); layer = null; box.hidden = true; };
    svg.addEventListener('pointerleave', leave);
    svg.addEventListener('pointermove', event => {
      leave();
      const matrix = svg.getScreenCTM();
      if (!matrix) return;
      const at = (event.clientX - matrix.e) / matrix.a, [from, to] = chart.x.pixels;
      if (at < from - 6 || at > to + 6) return;
      layer = svg.appendChild(svgNode('g', { class: 'hover', 'pointer-events': 'none' }));
      box.replaceChildren();
      let line = null;
      for (const series of chart.series) {
        const toggle = $('show-' + series.class);
        if (toggle && svg.closest('.prices') && !toggle.checked) continue;
        let best = -1, distance = 24;
        series.x.forEach((x, i) => {
          const d = Math.abs(pixel(chart.x, x) - at);
          if (d < distance) { best = i; distance = d; }
        });
        if (best < 0) continue;
        const x = pixel(chart.x, series.x[best]), y = pixel(chart.y, series.y[best]);
        if (line === null) {
          line = x;
          layer.prepend(svgNode('line', { x1: x, x2: x, y1: chart.y.pixels[1], y2: chart.y.pixels[0] }));
          const head = box.appendChild(document.createElement('i'));
          head.textContent = digits(series.x[best]) + ' ' + chart.unit[language()];
        }
        layer.append(svgNode('circle', { class: series.class, cx: x, cy: y, r: 3.5 }));
        const row = box.appendChild(document.createElement('div')), label = row.appendChild(document.createElement('b'));
        label.className = series.class; label.textContent = series[language()];
        row.append(' ' + digits(series.y[best]));
      }
      if (line === null) { leave(); return; }
      box.hidden = false;
      const size = box.getBoundingClientRect();
      box.style.left = Math.min(event.clientX + 14, innerWidth - size.width - 6) + 'px';
      box.style.top = Math.max(6, event.clientY - size.height - 12) + 'px';
    });
  }
})();
)js"
