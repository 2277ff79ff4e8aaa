R"css(
:root {
  --paper: #fcfcfa; --card: #ffffff; --ink: #1b1f27; --muted: #5d646f; --faint: #757c87; --rule: #e3e4e2; --strong-rule: #cfd1d0;
  --grey: #6d747f; --amber: #93650a; --floor: #7d858f; --on-ink: #ffffff;
  /* One hue an arm, told apart by colour-blind readers too (blue, vermilion, green-blue, violet, ochre, magenta, brown). */
  --s0: #34609b; --s1: #c4560f; --s2: #14776a; --s3: #7650a8; --s4: #876800; --s5: #a63a7c; --s6: #6a5a50;
  color-scheme: light;
}
.s0 { --c: var(--s0) } .s1 { --c: var(--s1) } .s2 { --c: var(--s2) } .s3 { --c: var(--s3) }
.s4 { --c: var(--s4) } .s5 { --c: var(--s5) } .s6 { --c: var(--s6) } .unresolved { --c: var(--grey) }

* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100% }
body { margin: 0; background: var(--paper); color: var(--ink); font: 14px/1.55 Inter, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Noto Sans", "Noto Sans SC", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif; font-variant-numeric: tabular-nums }
main { max-width: 1000px; margin: 0 auto; padding: 40px 24px 56px }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -0.015em; margin: 0 }
h2 { font-size: 17px; line-height: 1.35; margin: 0; letter-spacing: -0.005em }
h3 { font-size: 12.5px; font-weight: 400; color: var(--muted); margin: 0 }
section { margin-top: 52px; min-width: 0 }
section.verdict { margin-top: 0 }
p { margin: 0 }
small, .meta, .unit, .fine, .question { font-size: 12.5px; color: var(--muted) }
small { display: block }
code, pre { font: 12.5px/1.5 ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere }
.ink { color: var(--c) } .grey, .muted { color: var(--grey) } .amber { color: var(--amber) }

/* Both languages are in the page; the switch chooses. */
span[lang=zh], tspan[lang=zh] { display: none }
html:has(#lang-zh:checked) :is(span, tspan)[lang=zh] { display: inline }
html:has(#lang-zh:checked) :is(span, tspan)[lang=en] { display: none }

.top { display: flex; flex-wrap: wrap; gap: 12px 32px; justify-content: space-between; align-items: baseline }
.meta { margin-top: 6px }
.answer { font-size: 21px; line-height: 1.5; margin-top: 26px; max-width: 47em; text-wrap: pretty }
.answer b { font-weight: 650 }
.answer .interval { font-size: 0.74em; color: var(--muted); white-space: nowrap }
.question { margin-top: 14px }

.switches, .tools { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 12.5px; color: var(--faint) }
.group { display: inline-flex; flex-wrap: wrap; gap: 2px 12px; align-items: center }
.switch { cursor: pointer; display: inline-flex; align-items: center; gap: 6px; padding: 3px 0 }
.switch input { position: absolute; opacity: 0; width: 1px; height: 1px; margin: 0; pointer-events: none }
.switch > span { border-bottom: 1.5px solid transparent }
.switch input:checked + span { color: var(--ink); border-bottom-color: var(--strong-rule) }
.switch:hover > span { color: var(--ink) }
.switch input:focus-visible + span { outline: 2px solid var(--s0); outline-offset: 3px; border-radius: 2px }
.swatch::before { content: ""; width: 10px; height: 10px; border-radius: 50%; border: 2px solid var(--c) }
.swatch:has(:checked)::before { background: var(--c) }

.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 14px; margin-top: 26px }
.tile { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 14px 15px 12px; min-width: 0 }
.big { font-size: 29px; font-weight: 650; line-height: 1.25; letter-spacing: -0.02em }
.tile svg { margin: 6px 0 4px }
.note { font-size: 12.5px; color: var(--muted) }

.head { display: flex; flex-wrap: wrap; gap: 2px 20px; justify-content: space-between; align-items: baseline }
.caption { color: var(--muted); max-width: 62em; margin-top: 3px; text-wrap: pretty }
.prices .tools { margin-top: 10px }
.unit { margin: 14px 0 2px }
.halves { display: grid; grid-template-columns: 1fr 1fr; gap: 0 44px; margin-top: 52px }
.halves > section { margin-top: 0; display: flex; flex-direction: column }
.halves figure { margin-top: 16px }

.alone { max-width: 520px } .alone figure { margin-top: 16px } .loads.alone:has(.panels) { max-width: none }

figure { margin: 0 }
svg { display: block; width: 100%; height: auto; overflow: visible }
svg text { fill: var(--faint); font-family: inherit; font-variant-numeric: tabular-nums }
svg text.strong { fill: var(--ink) } svg text.muted { fill: var(--muted) } svg text.ink { fill: var(--c) }
svg text.in-cell { fill: var(--ink) } svg text.on-ink { fill: var(--on-ink) }
.bold { font-weight: 650 } .middle { text-anchor: middle } .end { text-anchor: end }
.grid { stroke: var(--rule); stroke-width: 1 } .stub { stroke: var(--strong-rule); stroke-width: 1 }
.neutral { stroke: var(--faint); stroke-width: 1; stroke-dasharray: 3 3 }
.equal-loss { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 1.5 2.5 }
.floor { fill: var(--floor); opacity: 0.16 }
.crossing { fill: none; stroke: var(--muted); stroke-width: 1.2 }
.line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }
.line.s0 { stroke-dasharray: none } .line.s1 { stroke-dasharray: 9 3.5; stroke-linecap: butt } .line.s2 { stroke-dasharray: 3 3 }
.line.s3 { stroke-dasharray: 10 3 2 3 } .line.s4 { stroke-dasharray: 1 3 } .line.s5 { stroke-dasharray: 14 4 } .line.s6 { stroke-dasharray: 6 2 1 2 1 2 }
.line.plain { stroke-dasharray: none }
.band { fill: var(--c); opacity: 0.15 }
.mark { fill: var(--c) } .mark.hollow { fill: var(--paper); stroke: var(--c); stroke-width: 1.5 }
.whisker { stroke: var(--c); stroke-width: 2.4; stroke-linecap: round }
.cell { fill: var(--c) }
.hover line { stroke: var(--faint); stroke-width: 1 } .hover circle { fill: var(--c); stroke: var(--paper); stroke-width: 1.5 }

.panels { display: grid; grid-template-columns: repeat(4, 1fr); gap: 24px 8px }
.panels.pair { grid-template-columns: 1fr 1fr; gap: 18px 10px }
.panels.layers { grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); gap: 22px 32px; margin-top: 14px }
.panels.layers .panel { max-width: 420px }
.panel { min-width: 0 }
.panel:not(.first) .inner { display: none }
.large, .x-lin, .heat.layer { display: none }
.loads:has(#layer-0:checked) .layer-0, .loads:has(#layer-1:checked) .layer-1, .loads:has(#layer-2:checked) .layer-2, .loads:has(#layer-3:checked) .layer-3,
.loads:has(#layer-4:checked) .layer-4, .loads:has(#layer-5:checked) .layer-5, .loads:has(#layer-6:checked) .layer-6, .loads:has(#layer-7:checked) .layer-7,
.loads:has(#layer-8:checked) .layer-8, .loads:has(#layer-9:checked) .layer-9, .loads:has(#layer-10:checked) .layer-10, .loads:has(#layer-11:checked) .layer-11 { display: block }
.loads .heat.layer:only-child { display: block }
@supports not selector(:has(a)) { .heat.layer.heat { display: block } }
.prices:has(#x-lin:checked) .x-lin { display: block } .prices:has(#x-lin:checked) .x-log { display: none }
.prices:has(#axis-tokens:checked) .large-tokens, .prices:has(#axis-flops:checked) .large-flops,
.prices:has(#axis-seconds:checked) .large-seconds, .prices:has(#axis-gb_seconds:checked) .large-gb_seconds { display: block }
.prices:has(:is(#axis-tokens, #axis-flops, #axis-seconds, #axis-gb_seconds):checked) .panels { display: none }
.prices:has(#bands:not(:checked)) .band { display: none }
.prices:has(#show-s0:not(:checked)) svg .s0, .prices:has(#show-s1:not(:checked)) svg .s1, .prices:has(#show-s2:not(:checked)) svg .s2,
.prices:has(#show-s3:not(:checked)) svg .s3, .prices:has(#show-s4:not(:checked)) svg .s4, .prices:has(#show-s5:not(:checked)) svg .s5,
.prices:has(#show-s6:not(:checked)) svg .s6 { display: none }

table { border-collapse: collapse; width: 100%; font-size: 13.5px; margin-top: 12px }
th { font-weight: 400; text-align: left }
thead th { font-size: 12.5px; color: var(--muted); vertical-align: bottom }
th, td { padding: 7px 14px 7px 0; border-bottom: 1px solid var(--rule); vertical-align: middle }
thead th { border-bottom-color: var(--strong-rule) }
th:last-child, td:last-child { padding-right: 0 }
.figures { text-align: right; white-space: nowrap }
.total > * { font-weight: 600 }
.prose td, .prose th { vertical-align: top }
.prose th[scope=row] { max-width: 24em }
.forests .drawn { width: 270px; padding-left: 14px }
.forest { width: 240px }
.scroll { overflow-x: auto }
.cost table { font-size: 12.5px } .cost th, .cost td { padding-right: 12px }
.tables .copy { margin-bottom: 26px }
.dot { display: inline-block; width: 9px; height: 9px; border-radius: 50%; background: var(--c); margin-right: 7px }

.facts { display: grid; grid-template-columns: 1fr 1fr; gap: 0 44px; margin: 12px 0 0 }
.facts.single { grid-template-columns: 1fr }
.facts > div { display: grid; grid-template-columns: minmax(8em, 1fr) minmax(0, 1.25fr); gap: 16px; padding: 7px 0; border-bottom: 1px solid var(--rule); font-size: 13.5px }
.facts dd { margin: 0; color: var(--muted); overflow-wrap: anywhere }
.facts .warns dd { color: var(--amber); font-weight: 600 }
ul { margin: 10px 0 0; padding-left: 1.15em; max-width: 62em } li { margin: 5px 0; color: var(--muted) }
.rerun { margin-top: 26px; padding-top: 16px; border-top: 1px solid var(--rule); color: var(--muted); font-size: 12.5px } .rerun code { color: var(--ink) }
.fine { margin-top: 4px }

details.data { margin-top: 8px; font-size: 12.5px; color: var(--muted) }
details.data summary { cursor: pointer; color: var(--faint); width: fit-content } details.data summary:hover { color: var(--ink) }
details.data p { margin: 8px 0; max-width: 62em } details.data table { font-size: 12px } details.data th, details.data td { padding-top: 2px; padding-bottom: 2px }
details.data .scroll { max-height: 320px; overflow-y: auto }
pre { white-space: pre-wrap; margin: 8px 0 }
.copy { display: none; font: inherit; font-size: 12.5px; color: var(--faint); background: none; border: 0; border-bottom: 1px solid var(--rule); padding: 2px 0; margin-top: 8px; cursor: pointer }
.copy:hover { color: var(--ink) } .scripted .copy { display: inline-block }
.read-out { position: fixed; z-index: 2; pointer-events: none; background: var(--card); border: 1px solid var(--strong-rule); border-radius: 6px; padding: 6px 9px; font-size: 12px; line-height: 1.45; white-space: nowrap; box-shadow: 0 2px 10px rgb(0 0 0 / 0.12) }
.read-out b { color: var(--c); font-weight: 600 } .read-out i { font-style: normal; color: var(--faint) }

@media screen and (max-width: 820px) {
  .tiles, .panels { grid-template-columns: 1fr 1fr }
  .halves, .facts { grid-template-columns: 1fr } .halves { gap: 52px }
  .panel:not(.first) .inner { display: inline }
  .wide { display: none } .large.large { display: none !important } .prices .panels.panels { display: grid !important }
}
@media screen and (max-width: 560px) {
  main { padding: 24px 16px 40px }
  h1 { font-size: 25px } .answer { font-size: 18px; margin-top: 20px } section { margin-top: 42px }
  .tiles { gap: 10px } .tile { padding: 11px 12px 10px } .big { font-size: 25px }
  .panels, .panels.layers, .panels.pair { grid-template-columns: 1fr }
  .roomy { display: none }
  .forests .drawn { width: 92px; padding-left: 0 } .forest { width: 84px } .forests th, .forests td { padding-right: 8px; font-size: 12px }
  .forests .figures { white-space: normal }
}
@media print {
  .switches, .tools, .scripted .copy, details.data:not([open]) { display: none }
  body { font-size: 12px } main { max-width: none; padding: 0 }
  .panels { grid-template-columns: 1fr 1fr } .panel:not(.first) .inner { display: inline }
  section, .tile, figure, tr { break-inside: avoid } section.provenance, section.cost { break-inside: auto }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact }
}
)css"
