// When something has happened, the same page is fetched again and its content put in place. Without
// this script the page asks to be loaded again by itself while something is being done. A page that
// nobody looks at listens to nothing: browsers open few connections to one place.
"use strict";
(() => {
  let source = null;
  let timer = 0;
  const stop = () => {
    clearTimeout(timer);
    if (source) source.close();
    source = null;
  };
  const later = (milliseconds) => {
    stop();
    timer = setTimeout(refresh, milliseconds);
  };
  const follow = () => {
    stop();
    const place = document.querySelector("[data-events]");
    if (!place || document.hidden) return;
    source = new EventSource(place.dataset.events);
    source.addEventListener("news", refresh);
    source.addEventListener("error", () => later(2000));
  };
  const refresh = async () => {
    stop();
    const answer = await fetch(location.href, { redirect: "error" }).catch(() => null);
    if (answer && answer.status === 401) return location.reload();
    if (!answer || !answer.ok) return later(5000);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const shown of document.querySelectorAll("details")) {
      const next = page.getElementById(shown.id);
      if (next) next.open = shown.open;
    }
    document.querySelector("main").replaceWith(page.querySelector("main"));
    follow();
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : refresh()));
  follow();
})();
