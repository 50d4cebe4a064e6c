// What of a page somebody cannot reach or read: the rules that matter most of WCAG 2.2 AA, as far as a script can tell.
() => {
  const found = [];
  const visible = (e) => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== "hidden";
  const name = (e) =>
    (e.getAttribute("aria-label") || e.textContent || e.getAttribute("title") || e.getAttribute("alt") || "").trim() ||
    [...(e.labels || [])].map((l) => l.textContent.trim()).join(" ");
  const say = (rule, e) => found.push(`${rule}: ${e.outerHTML.slice(0, 120)}`);
  if (!document.documentElement.lang) found.push("no language");
  if (!document.title) found.push("no title");
  if (document.querySelectorAll("main").length !== 1) found.push("not one main");
  if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
  for (const e of document.querySelectorAll("a[href], button, summary, input:not([type=hidden]), select"))
    if (visible(e) && !name(e)) say("no name", e);
  for (const e of document.querySelectorAll("svg")) if (!e.closest("[aria-hidden], a, button") && e.getAttribute("role") === "img" && !e.getAttribute("aria-label")) say("no text", e);
  for (const e of document.querySelectorAll("img:not([alt])")) say("no text", e);
  for (const e of document.querySelectorAll("th")) if (!e.scope || !e.textContent.trim()) say("heading of a column", e);
  const ids = new Map();
  for (const e of document.querySelectorAll("[id]")) ids.set(e.id, (ids.get(e.id) || 0) + 1);
  for (const [id, count] of ids) if (count > 1) found.push(`id twice: ${id}`);
  for (const e of document.querySelectorAll("[aria-labelledby]")) if (!document.getElementById(e.getAttribute("aria-labelledby"))) say("no label", e);
  for (const e of document.querySelectorAll("[tabindex]")) if (Number(e.getAttribute("tabindex")) > 0) say("order of keys", e);
  const number = (c) => (c.match(/[\d.]+/g) || []).map(Number);
  const over = (c) => {
    let e = c;
    for (; e; e = e.parentElement) {
      const [r, g, b, a = 1] = number(getComputedStyle(e).backgroundColor);
      if (a > 0.9) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const light = ([r, g, b]) =>
    [r, g, b].map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
  for (const e of document.querySelectorAll("main *, header *, nav *, footer *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !visible(e) || e.closest("svg") || e.closest(".hidden")) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(number(style.color)), light(over(e))].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700);
    if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) say(`contrast ${((a + 0.05) / (b + 0.05)).toFixed(2)}`, e);
  }
  if (innerWidth < 500)
    for (const e of document.querySelectorAll("button, summary, nav a, a.button, input:not([type=hidden]):not([type=checkbox])"))
      if (visible(e) && !e.closest("details:not([open]) > :not(summary)") && e.getBoundingClientRect().height < 24) say("too small to touch", e);
  if (document.documentElement.scrollWidth > innerWidth + 1) found.push(`wider than the screen: ${document.documentElement.scrollWidth}`);
  return found.slice(0, 20);
}
