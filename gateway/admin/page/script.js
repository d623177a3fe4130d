// Everything works without this script; it adds live updates, keys and what moves.
(() => {
  'use strict';
  const $ = (s, e = document) => e.querySelector(s), $$ = (s, e = document) => [...e.querySelectorAll(s)];
  const root = document.body;

  // Times that go on.
  const span = s => {
    const two = (n, a, r, b) => n >= 10 || !r ? `${n} ${a}` : `${n} ${a} ${r} ${b}`;
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min`;
    if (s < 86400) return two(Math.floor(s / 3600), 'h', Math.floor(s % 3600 / 60), 'min');
    return two(Math.floor(s / 86400), 'd', Math.floor(s % 86400 / 3600), 'h');
  };
  const tick = () => $$('time').forEach(t => {
    const text = t.textContent, s = Math.floor((Date.now() - Date.parse(t.dateTime)) / 1000);
    if (!/ago$|^in |^now$/.test(text)) return;
    const now = Math.abs(s) < 1 ? 'now' : s > 0 ? span(s) + ' ago' : 'in ' + span(-s);
    if (now !== text) t.textContent = now;
  });
  setInterval(tick, 1000);

  // What was done just now is said once.
  if (/[?&]did=/.test(location.search)) history.replaceState(null, '', location.pathname + location.hash);

  // What happened while the page was open: figures change where they stand, lists wait for a click.
  const bar = $('#new');
  let busy = false, again = false, late = false;
  const swap = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, {headers: {Accept: 'text/html'}});
      if (answer.ok) {
        const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
        $$('[data-swap], #whole').forEach(e => {
          const n = next.getElementById(e.id), now = document.activeElement, mark = getSelection();
          if (!n || n.innerHTML === e.innerHTML && n.className === e.className) return;
          // What is being read, pointed at or filled in stays.
          if (!mark.isCollapsed && e.contains(mark.anchorNode)) return;
          if (e.contains(now) && !now.matches('a, button, summary')) return;
          if (e.id === 'attention' && e.offsetHeight && $('#attention ~ :hover') && $$('li', e).length !== $$('li', n).length) { late = true; return; }
          const open = $$('details[open]', e).map(d => d.id), at = $$('a, button, summary', e).indexOf(now);
          e.innerHTML = n.innerHTML; e.className = n.className;
          $$('details', e).forEach(d => { d.open = open.includes(d.id); });
          if (at >= 0) $$('a, button, summary', e)[at]?.focus({preventScroll: true});
        });
        const empty = $('[data-empty]');
        if (empty && next.getElementById('list')) {
          const list = document.importNode(next.getElementById('list'), true);
          empty.replaceWith(list);
          $('tr', $('tbody', list)).classList.add('came');
          ready();
        }
      }
    } catch { /* the gateway is away; the stream comes back by itself */ }
    busy = false;
    if (again) { again = false; setTimeout(swap, 500); }
  };
  // Notes that came while the pointer was below them, where it would have hit something else.
  $('main').addEventListener('pointerleave', () => { if (late) { late = false; swap(); } });
  // A tab that nobody sees holds no connection: browsers have few.
  let stream = null;
  const watch = () => {
    stream = new EventSource(root.dataset.live);
    stream.onmessage = e => {
      const fresh = +e.data;
      swap();
      if (bar && fresh > 0 && $('#list')) {
        bar.hidden = false;
        bar.firstElementChild.textContent = fresh === 1 ? '1 new message' : `${fresh} new messages`;
        bar.firstElementChild.href = location.href;
      }
    };
  };
  if (root.dataset.live && window.EventSource) {
    const look = () => {
      if (document.hidden && stream) { stream.close(); stream = null; }
      if (!document.hidden && !stream) watch();
    };
    look();
    document.addEventListener('visibilitychange', look);
    addEventListener('pagehide', () => { if (stream) stream.close(); stream = null; });
    addEventListener('pageshow', look);
  }

  // From a message back to where it was found.
  if (root.dataset.screen === 'messages') sessionStorage.setItem('list', location.search);
  if (root.dataset.screen === 'message') $('.back a').href += sessionStorage.getItem('list') ?? '';

  // Keys.
  const rows = () => $$('#rows tr');
  const here = () => rows().findIndex(r => r.classList.contains('here'));
  const go = to => {
    const list = rows(), n = Math.max(0, Math.min(list.length - 1, to));
    list.forEach(r => r.classList.remove('here'));
    if (!list[n]) return;
    list[n].classList.add('here');
    list[n].scrollIntoView({block: 'nearest'});
    $('.subject a', list[n]).focus({preventScroll: true});
  };
  addEventListener('keydown', e => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const field = e.target.closest('input:not([type=checkbox]), textarea, select');
    if (field) { if (e.key === 'Escape') field.blur(); return; }
    const at = here();
    switch (e.key) {
    case '/': $('#q').focus(); $('#q').select(); break;
    case 'j': go(at + 1); break;
    case 'k': go(at < 0 ? 0 : at - 1); break;
    case 'x': if (at >= 0) $('input', rows()[at]).click(); break;
    case 'u': $('.back a')?.click(); break;
    case '?': $('#keys').showModal(); break;
    default: return;
    }
    e.preventDefault();
  });
  $('.keys').hidden = false;

  // Copying, choosing all, the width of a mail.
  function ready() {
    const all = $('#all');
    if (all) {
      all.hidden = false;
      all.onchange = () => $$('#rows input').forEach(b => { b.checked = all.checked; });
    }
    $$('.copy').forEach(c => {
      if (!navigator.clipboard || c.nextElementSibling?.dataset.copy) return;
      const b = document.createElement('button');
      b.type = 'button'; b.textContent = 'Copy'; b.className = 'plain small'; b.dataset.copy = '1';
      b.onclick = async () => { await navigator.clipboard.writeText(c.textContent); b.textContent = 'Copied'; setTimeout(() => { b.textContent = 'Copy'; }, 1500); };
      c.after(b);
    });
  }
  ready();
  const width = $('#width');
  if (width) {
    width.hidden = false;
    $$('button', width).forEach(b => {
      b.onclick = () => {
        $('iframe').className = b.dataset.width;
        $$('button', width).forEach(o => o.setAttribute('aria-pressed', String(o === b)));
      };
    });
    $('button', width).setAttribute('aria-pressed', 'true');
  }
})();
