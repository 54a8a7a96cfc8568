// A result of the search leads to the words themselves: its link carries them, and the page that it opens marks them.
// Sphinx would do so too, but not where its search is on every page, as the theme has it.
(() => {
  const BLOCK = "p, li, td, th, dt, dd, pre, h1, h2, h3, summary";

  const carry = (results, words) => {
    for (const link of results.querySelectorAll("li > a:not([data-carries])")) {
      const [page, anchor] = link.getAttribute("href").split("#");
      link.href = `${page}?highlight=${encodeURIComponent(words)}${anchor ? `#${anchor}` : ""}`;
      link.dataset.carries = "";
    }
  };

  // A word as it was typed, or its stem, as the search has it; at the beginning of words, or else anywhere.
  const patternOf = (word, text) => {
    const forms = [word, new Stemmer().stemWord(word)].map((form) => form.replace(/[^\p{L}\p{N}]/gu, "\\$&"));
    const places = forms.map((form) => `(?<![\\p{L}\\p{N}])${form}[\\p{L}\\p{N}]*`);
    return [...places, ...forms].map((form) => new RegExp(`(${form})`, "iu")).find((form) => form.test(text));
  };

  const mark = (article, pattern, number) => {
    const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
    const texts = [];
    while (walker.nextNode()) texts.push(walker.currentNode);
    for (const text of texts) {
      if (!pattern.test(text.data) || text.parentElement.closest("math, mark, script, style")) continue;
      const parts = text.data.split(pattern).map((part, at) => {
        if (at % 2 === 0) return part;
        const found = document.createElement("mark");
        found.dataset.word = number;
        found.textContent = part;
        return found;
      });
      text.replaceWith(...parts);
    }
  };

  // The place with most of the words; one in a fold, which may hide a solution, if there is no other.
  const best = (article) => {
    const places = new Map();
    for (const found of article.querySelectorAll("mark")) {
      const block = found.closest(BLOCK) || found;
      places.set(block, (places.get(block) || new Set()).add(found.dataset.word));
    }
    const worth = (block) => places.get(block).size - (block.closest("details:not([open])") ? 100 : 0);
    return [...places.keys()].reduce((top, block) => (top && worth(top) >= worth(block) ? top : block), null);
  };

  const show = (words) => {
    const article = document.querySelector("article");
    const asked = splitQuery(words.toLowerCase()).filter((word) => !stopwords.has(word));
    asked.forEach((word, number) => {
      const pattern = patternOf(word, article.textContent);
      if (pattern) mark(article, pattern, number);
    });
    const place = best(article);
    if (!place || location.hash) return; // a result that has a place of its own keeps it
    (place.closest("details:not([open])") || place).scrollIntoView({ block: "center", behavior: "instant" });
  };

  document.addEventListener("DOMContentLoaded", () => {
    const asked = new URLSearchParams(location.search);
    const results = document.getElementById("search-results");
    const words = asked.get("q");
    if (results && words) {
      carry(results, words);
      new MutationObserver(() => carry(results, words)).observe(results, { childList: true, subtree: true });
    } else if (asked.get("highlight")) show(asked.get("highlight"));
  });
})();
