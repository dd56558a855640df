"""oracle.py layers: intermediate figures of some runs of the authors' code, read off its variables."""
import json

from authors_code import (RUN, awq, block_linears, gptq, load_model, prepare, rtn, setting, smoothquant,
                          versions, watching, write_json)

TRACED = [setting("unquantized"), rtn(3, 128), gptq(3, 128), gptq(3, act_order=True), awq(3, 128),
          smoothquant(0.5)]
LAYERS_WHAT = ("Intermediate figures of the runs that gave some rows of reference.json, to find the "
               "first layer where another implementation departs from the authors' code.")
LAYERS_FIELDS = {
    "block_output_mean_squares": "mean of the squares of each block's output (after its second "
                                 "residual addition) over the first evaluation window",
    "logits_position_10": "the first 8 logits at position 10 of the first evaluation window",
    "mse": "mean squared difference between the final dequantized weight and the original weight; "
           "for awq and smoothquant after dividing the columns (and, for up_proj under awq, "
           "multiplying the rows) by the scales that were folded in",
    "sum": "sum of the final dequantized weight, scales still folded in, in float64",
    "sum_squares": "sum of its squares, in float64",
    "mean_diag_hessian": "gptq: mean of the diagonal of H before damping",
    "losses_sum": "gptq: sum of Losses of fasterquant, the 'error' it prints, summed in float64",
    "clip_ratio_mean": "awq: mean over rows and groups of the chosen clip divided by the largest "
                       "magnitude of the scaled group; absent where no clip is searched",
    "act_max_sum": "smoothquant: sum over input channels of the largest |input| of the unsmoothed "
                   "model over the calibration windows; act_max_max is the largest",
    "sets": "the linears that share a scale, in the order the authors' code treats them",
    "ratio_index": "awq: k of the chosen exponent k/20",
    "loss": "awq: the loss of the chosen exponent; losses has all 20",
    "scales_sum": "sum over input channels of the scale (weight columns are multiplied by it); "
                  "scales_min and scales_max are its range",
}


def command_layers(args):
    authors, calibration, evaluation = prepare(args)
    traces = []
    for row in TRACED:
        print(json.dumps(row), flush=True)
        traces.append(trace(args, authors, row, calibration, evaluation[0]))
    write_json(args.out, {"what": LAYERS_WHAT, "fields": LAYERS_FIELDS, "versions": versions(),
                             "traces": traces})


def trace(args, authors, row, calibration, window):
    model = load_model(args)
    before = {name: linear.weight.data.clone() for name, linear in block_linears(model).items()}
    names = {linear: name for name, linear in block_linears(model).items()}
    seen = {name: {} for name in before}
    sets = []
    with watching(handlers_for(names, seen, sets)):
        found = RUN[row["algorithm"]](authors, model, row, calibration)
    if row["algorithm"] == "awq":
        record_clips(before, found, seen)
    if row["algorithm"] == "smoothquant":
        record_maxima(found, seen)
    result = {"settings": row, **forward_figures(model, window)}
    if row["algorithm"] != "unquantized":
        result["linears"] = linear_figures(model, before, scales_of(sets, found), seen)
    if sets:
        result["sets"] = [{key: value for key, value in one.items() if key != "scales"}
                          for one in sets]
    return result


def handlers_for(names, seen, sets):
    """What to read off which function of the authors, for watching()."""
    def gptq_begins(variables):
        solver = variables["self"]
        seen[names[solver.layer]]["mean_diag_hessian"] = solver.H.diag().double().mean().item()

    def gptq_ends(variables):
        losses = variables["Losses"].double().sum().item()
        seen[names[variables["self"].layer]]["losses_sum"] = losses

    def awq_scale_found(variables):
        linears = [names[linear] for linear in variables["linears2scale"]]
        index = round(variables["best_ratio"] * variables["n_grid"])
        sets.append({"linears": linears, "ratio_index": index, "loss": variables["best_error"],
                     "losses": list(variables["history"]),
                     **summary("scales", variables["best_scales"]),
                     "scales": variables["best_scales"].clone()})

    def smoothed(variables):
        linears = [names[linear] for linear in variables["fcs"]]
        sets.append({"linears": linears, **summary("scales", variables["scales"]),
                     "scales": variables["scales"].clone()})

    return {("fasterquant", "call"): gptq_begins, ("fasterquant", "return"): gptq_ends,
            ("_search_module_scale", "return"): awq_scale_found,
            ("smooth_ln_fcs_llama_like", "return"): smoothed}


def summary(name, values):
    values = values.double()
    return {f"{name}_sum": values.sum().item(), f"{name}_min": values.min().item(),
            f"{name}_max": values.max().item()}


def scales_of(sets, found):
    """{name: (factor of its columns, divisor of its rows)}, where there is one."""
    columns = {name: one["scales"].double() for one in sets for name in one["linears"]}
    rows = {}
    if isinstance(found, dict) and "scale" in found:
        rows = {previous: scales.double() for previous, _linears, scales in found["scale"]}
    return columns, rows


def record_clips(before, found, seen):
    """Mean over all groups of the chosen clip divided by the group's largest magnitude."""
    weights = {name: weight.clone() for name, weight in before.items()}
    for previous, linears, scales in found["scale"]:
        if previous in weights:
            weights[previous].div_(scales.view(-1, 1))
        for name in linears:
            weights[name].mul_(scales.view(1, -1))
    for name, clip in found["clip"]:
        largest = weights[name].reshape(*clip.shape[:2], -1).abs().amax(-1, keepdim=True)
        seen[name]["clip_ratio_mean"] = (clip.double() / largest.double()).mean().item()


def record_maxima(maxima, seen):
    for name, figures in seen.items():
        figures["act_max_sum"] = maxima[name].double().sum().item()
        figures["act_max_max"] = maxima[name].max().item()


def linear_figures(model, before, scales, seen):
    columns, rows = scales
    figures = []
    for name, linear in block_linears(model).items():
        final = linear.weight.data.double()
        undone, target = final.clone(), before[name].double()
        if name in columns:
            undone /= columns[name].view(1, -1)
        if name in rows:
            undone *= rows[name].view(-1, 1)
        _model, _layers, block, short = name.split(".", 3)
        figures.append({"block": int(block), "name": short,
                        "mse": (undone - target).square().mean().item(),
                        "sum": final.sum().item(), "sum_squares": final.square().sum().item(),
                        **seen[name]})
    return figures


def forward_figures(model, window):
    squares = []

    def after_block(_module, _inputs, outputs):
        squares.append(outputs[0].double().square().mean().item())

    hooks = [block.register_forward_hook(after_block) for block in model.model.layers]
    logits = model(window).logits[0]
    for hook in hooks:
        hook.remove()
    return {"block_output_mean_squares": squares,
            "logits_position_10": logits[10, :8].double().tolist()}
