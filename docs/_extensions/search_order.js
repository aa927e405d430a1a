// The order of what a search of the site finds: see html_search_scorer in conf.py. Sphinx puts this before its own code.
// Objects come first there, and a page about the very thing is one of many with the word in some heading.
// So a page gains by the share of its title that was asked for.
var Scorer = {
    objNameMatch: 11,
    objPartialMatch: 6,
    objPrio: {0: 15, 1: 5, 2: -5},
    objPrioDefault: 0,
    title: 15,
    partialTitle: 7,
    term: 5,
    partialTerm: 2,
    score: ([, title, anchor, , score, , kind]) => {
        if (anchor || kind === "object") return score;
        const stemmer = new Stemmer();
        const stems = (text) => splitQuery(text.toLowerCase()).map((word) => stemmer.stemWord(word));
        const asked = stems(new URLSearchParams(location.search).get("q") ?? "");
        const words = stems(title).filter((word) => !stopwords.has(word));
        return score + (20 * words.filter((word) => asked.includes(word)).length) / Math.max(words.length, 1);
    },
};
