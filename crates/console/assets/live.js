// When something has happened, the same page is fetched again and its content put in place. Without
// this script the page asks to be loaded again by itself.
"use strict";
(() => {
  let source = null;
  const follow = () => {
    const title = document.querySelector("[data-live]");
    if (source) source.close();
    source = null;
    if (!title || title.dataset.live !== "yes") return;
    source = new EventSource(title.dataset.events);
    source.addEventListener("news", refresh);
    source.addEventListener("error", () => setTimeout(refresh, 2000));
  };
  const refresh = async () => {
    if (source) source.close();
    source = null;
    const answer = await fetch(location.href, { redirect: "error" }).catch(() => null);
    if (!answer || !answer.ok) return setTimeout(refresh, 5000);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(page.querySelector("main"));
    follow();
  };
  follow();
})();
