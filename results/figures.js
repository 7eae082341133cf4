(() => {
  // Every figure lies beside its data; its drawn image stays until plotly has taken its place.
  if (!window.Plotly) return;
  const dark = matchMedia("(prefers-color-scheme: dark)"), narrow = matchMedia("(max-width: 620px)");
  // Ink and the darker colours, as they are read on a dark ground.
  const lighter = {"#1A1A1A": "#E6E8EB", "#666666": "#A3ABB6", "#D9D9D9": "#2E343C", "#0072B2": "#4AA8E0",
    "#5B5B5B": "#A8A8A8", "#8C6D1F": "#CBA24A", "#7B4EA3": "#B48BDB", "#D55E00": "#EF8238", "#009E73": "#2EBF94"};
  const themed = text => dark.matches ? text.replace(/#[0-9A-F]{6}/g, colour => lighter[colour] || colour) : text;
  const draw = figure => {
    const data = JSON.parse(themed(figure.querySelector("script").textContent));
    const chosen = narrow.matches ? data.narrow : data.wide;
    const traces = chosen.data.map(({of, ...own}) => ({...data.traces[of], ...own}));
    const plot = figure.querySelector(".plot");
    Plotly.react(plot, traces, {...data.layout, ...chosen.layout}, {responsive: true, displaylogo: false, displayModeBar: false});
    plot.setAttribute("role", "img");  // in place of the drawn image, and with its words
    plot.setAttribute("aria-label", figure.querySelector("img").alt);
    figure.classList.add("drawn");
  };
  const figures = [...document.querySelectorAll("figure.chart")];
  const near = new IntersectionObserver(seen => seen.filter(one => one.isIntersecting).forEach(one => {
    near.unobserve(one.target);
    draw(one.target);
  }), {rootMargin: "600px"});
  figures.forEach(figure => near.observe(figure));
  const again = () => figures.filter(figure => figure.classList.contains("drawn")).forEach(draw);
  dark.addEventListener("change", again);
  narrow.addEventListener("change", again);
})();
