// The page's half of the RandomNumber node; the host's half is utilities/random_number.py.
//
// The page calls setupClientNode once per placed node, onButtonClick when a button of the node is
// pressed, and onWorkflowExecute before it submits a run. Beside `value` the script writes
// `page_value`: equal numbers tell the host that nothing is left to compute.

const RANGE = 2 ** 32;

// How long `page_value` stays: long enough for the page to build its request, short enough to be
// gone before somebody saves the workflow. A run without a page must compute for itself.
const MARK_LIFETIME_MS = 5000;

const STEPS = {
  fixed: (value) => value,
  increase: (value) => (value + 1) % RANGE,
  decrease: (value) => (value + RANGE - 1) % RANGE,
  random: () => draw(),
};

// Workflows saved by ComfyTavern hold the Chinese words.
const MODES = { 固定: "fixed", 增加: "increase", 减少: "decrease", 随机: "random" };

function draw() {
  return globalThis.crypto.getRandomValues(new Uint32Array(1))[0];
}

function wholeNumber(value) {
  const number = Number(value);
  return Number.isInteger(number) && number >= 0 && number < RANGE ? number : 0;
}

// With an edge into one of these the page does not know the real value, only the host does.
function hasUnknownInput(run) {
  const edges = run?.workflowContext?.edges ?? [];
  return edges.some(
    (edge) =>
      edge.target === run.nodeId &&
      ["mode", "value", "reroll"].includes(String(edge.targetHandle).replace(/__\d+$/, "")),
  );
}

export function setupClientNode(vueFlow, node, page) {
  const { updateInputValue, getNodeInputValue, setNodeOutputValue } = page;
  let forgetting;

  function setMark(value) {
    clearTimeout(forgetting);
    updateInputValue("page_value", value);
    forgetting = setTimeout(() => updateInputValue("page_value", null), MARK_LIFETIME_MS);
    forgetting?.unref?.(); // outside a browser, a timer would keep the process alive
  }

  function show(value) {
    updateInputValue("value", value);
    setNodeOutputValue?.("number", value);
  }

  return {
    onButtonClick(name) {
      if (name === "reroll") show(draw());
    },

    onWorkflowExecute(run) {
      if (hasUnknownInput(run)) return;
      const word = getNodeInputValue("mode") ?? "fixed";
      const step = STEPS[MODES[word] ?? word];
      if (!step) return; // the host names the unknown mode in its error
      const value = step(wholeNumber(getNodeInputValue("value")));
      show(value);
      setMark(value);
    },
  };
}
