"""Slow twins of the compiled kernels: the same laws in plain Python."""

import math
import re
from fractions import Fraction
from itertools import pairwise

import numpy as np

MASK = (1 << 64) - 1


def scramble(seed, row):
    z = (seed * 0x9E3779B97F4A7C15 + (row + 1) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def shift_images(pixels, *, seed, reach, flip=False):
    out = np.empty_like(pixels)
    for n, image in enumerate(pixels):
        draw = scramble(seed, n)
        down = draw % (2 * reach + 1) - reach
        right = (draw >> 20) % (2 * reach + 1) - reach
        height, width, _ = image.shape
        rows = np.clip(np.arange(height) + down, 0, height - 1)
        columns = np.clip(np.arange(width) + right, 0, width - 1)
        if flip and (draw >> 40) & 1:
            columns = width - 1 - columns
        out[n] = image[rows][:, columns]
    return out


def mix_images(pixels, *, seed, strength=1.0):
    count, full = len(pixels), 1 << 16
    out, partner, share = np.empty_like(pixels), np.empty(count, np.int64), np.empty(count, np.float32)
    for n in range(count):
        draw = scramble(seed, (1 << 48) + n)
        partner[n] = (n + 1 + (draw >> 32) % (count - 1)) % count if count > 1 else n
        own = full - (draw & 0xFFFFFFFF) % (round(strength * full / 2) + 1)
        share[n] = own / full
        both = own * pixels[n].astype(np.int64) + (full - own) * pixels[partner[n]].astype(np.int64)
        out[n] = (both + full // 2) // full
    return out, partner, share


def low_share(draw):
    return (draw & 0xFFFFFFFF) / 2**32


def normal(draw):
    return math.sqrt(-2 * math.log(low_share(draw) + 2**-33)) * math.cos(2 * math.pi * (draw >> 32) / 2**32)


def cell_draws(seed, columns, rows):
    return [[scramble(scramble(seed, column), row) for column in columns] for row in range(rows)]


def bounded(value, whole):
    value = math.floor(value + 0.5) if whole and abs(value) < 2**53 else value
    return min(max(value, -float(np.finfo(np.float32).max)), float(np.finfo(np.float32).max))


def spunge(numbers, codes, facts, *, seed, share=0.1, noise=0.1, noise_share=0.1):
    rows, columns = numbers.shape
    draws = cell_draws(seed, [*range(columns), *((1 << 32) + q for q in range(codes.shape[1]))], rows)
    new = numbers.copy(), codes.copy()
    for n in range(rows):
        for place, draw in enumerate(draws[n]):
            part, column = (0, place) if place < columns else (1, place - columns)
            if rows > 1 and low_share(draw) < share:
                new[part][n, column] = (numbers, codes)[part][(n + 1 + (draw >> 32) % (rows - 1)) % rows, column]
            value = new[part][n, column]
            noisy = part == 0 and facts.distinct[column] > 2 and noise > 0 and not np.isnan(value)
            if noisy and low_share(scramble(draw, 1)) < noise_share:
                moved = float(value) + noise * facts.deviation[column] * normal(scramble(draw, 2))
                new[0][n, column] = bounded(moved, facts.whole[column])
    return new


def nearest_rows(numbers, codes):
    """Return the nearest other row of each by all distances: of complete tables."""
    deviation = numbers.astype(float).std(0)
    scaled = (numbers - numbers.astype(float).mean(0)) / np.where(deviation > 0, deviation, 1)
    apart = ((scaled[:, None] - scaled[None]) ** 2).sum(2) + (codes[:, None] != codes[None]).sum(2)
    np.fill_diagonal(apart, np.inf)
    return apart.argmin(1)


def munge(numbers, codes, facts, nearest, *, seed, share=0.2, narrowing=2.0):
    rows, columns = numbers.shape
    draws = cell_draws(seed, [*range(columns), *((1 << 32) + q for q in range(codes.shape[1]))], rows)
    new = numbers.copy(), codes.copy()
    for n in range(rows):
        for place, draw in enumerate(draws[n]):
            part, column = (0, place) if place < columns else (1, place - columns)
            if low_share(draw) >= share or nearest[n] == n:
                continue
            own, other = (numbers, codes)[part][[n, nearest[n]], column]
            if part == 0 and facts.distinct[column] > 2 and not np.isnan(own) and not np.isnan(other):
                apart = abs(float(own) - float(other)) / narrowing
                other = bounded(float(other) + apart * normal(scramble(draw, 2)), facts.whole[column])
            new[part][n, column] = other
    return new


def column_moments(values):
    """Return mean, variance, skewness and kurtosis less 3 of a column, exact but for the last step."""
    known = [Fraction(float(value)) for value in values if not np.isnan(value)]
    mean = sum(known) / len(known)
    second, third, fourth = (sum((value - mean) ** power for value in known) / len(known) for power in (2, 3, 4))
    if not second:
        return float(mean), 0.0, math.nan, math.nan
    return float(mean), float(second), float(third) / float(second) ** 1.5, float(fourth / second**2) - 3


def ranks(values, edges):
    out = np.zeros(len(values), np.float32)
    for n, value in enumerate(values):
        for low, high in pairwise(edges):
            out[n] += np.clip((value - low) / (high - low), np.float32(0), np.float32(1))
    return out / np.float32(len(edges) - 1)


def distill(student, teacher, labels, *, temperature, ce_weight, kd_weight, smoothing):
    """Return each row's loss and the gradient of their mean, in float64."""

    def log_softmax(logits):
        shifted = logits.astype(float) - logits.max(1, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))

    targets = (1 - smoothing) * np.eye(student.shape[1])[labels] + smoothing / student.shape[1]
    log_p, log_q, log_t = log_softmax(student), log_softmax(student / temperature), log_softmax(teacher / temperature)
    losses = -ce_weight * (targets * log_p).sum(1)
    losses += kd_weight * temperature**2 * (np.exp(log_t) * (log_t - log_q)).sum(1)
    gradient = ce_weight * (np.exp(log_p) - targets) + kd_weight * temperature * (np.exp(log_q) - np.exp(log_t))
    return losses, gradient / len(student)


def perceptron(weights, widths, features):
    values, place = features.astype(float), 0
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        matrix = weights[place : place + inputs * outputs].reshape(outputs, inputs)
        place += inputs * outputs
        values = values @ matrix.T + weights[place : place + outputs]
        place += outputs
        values = values if layer == len(widths) - 2 else values.clip(0)
    return values


def softmax(logits, temperature=1.0):
    powers = np.exp((logits - logits.max(1, keepdims=True)) / temperature)
    return powers / powers.sum(1, keepdims=True)


def guidance_rows(method, student, teacher, temperature):
    """Return each row's loss from one teacher, by the formulas of the papers, in float64."""

    def divergence(p, q):
        return (p * (np.log(p) - np.log(q))).sum(1)

    def standard(logits):
        less = logits - logits.mean(1, keepdims=True)
        return less / np.sqrt((less**2).mean(1, keepdims=True) + 1e-8)

    student, teacher = student.astype(np.float64), teacher.astype(np.float64)
    if method == "lskd":
        student, teacher = standard(student), standard(teacher)
    if method in ("kd", "lskd"):
        return temperature**2 * divergence(softmax(teacher, temperature), softmax(student, temperature))
    if method == "wttm":
        weight = (softmax(teacher) ** (1 / temperature)).sum(1)
        return weight * divergence(softmax(teacher, temperature), softmax(student))
    if method == "brier":
        return ((softmax(student) - softmax(teacher)) ** 2).sum(1)
    if method == "logit_mse":
        apart = student - student.mean(1, keepdims=True) - teacher + teacher.mean(1, keepdims=True)
        return (apart**2).mean(1)
    assert method == "squares"
    return ((student - teacher) ** 2)[:, 0]


def loss_rows(student, labels, teachers, weights, *, method, temperature, ce_weight, label_smoothing):
    """Return each row's `ce_weight · loss on labels + Σ weight · guidance`, and the loss on labels alone."""
    student = student.astype(np.float64)
    if labels.dtype == np.float32:
        on_labels = (student[:, 0] - labels) ** 2
    else:
        logs = np.log(softmax(student))
        true = logs[np.arange(len(labels)), labels]
        on_labels = -(1 - label_smoothing) * true - label_smoothing * logs.mean(1)
    total = ce_weight * on_labels
    for teacher, weight in zip(teachers, weights, strict=True):
        total = total + weight * guidance_rows(method, student, teacher, temperature)
    return total, on_labels


def loss_gradient(student, *rest, step=1e-6, **options):
    """Return the mean loss and its gradient by central differences."""
    student = student.astype(np.float64)
    gradient = np.empty_like(student)
    for k in range(student.shape[1]):
        shift = np.zeros_like(student)
        shift[:, k] = step
        above, below = (loss_rows(student + sign * shift, *rest, **options)[0] for sign in (1, -1))
        gradient[:, k] = (above - below) / (2 * step) / len(student)
    return loss_rows(student, *rest, **options)[0].mean(), gradient


def unflatten(vector, widths):
    """Return (weights [outputs, inputs], biases) of each layer, as views."""
    layers, p = [], 0
    for inputs, outputs in pairwise(widths):
        weights = vector[p : p + inputs * outputs].reshape(outputs, inputs)
        biases = vector[p + inputs * outputs : p + (inputs + 1) * outputs]
        p += (inputs + 1) * outputs
        layers.append((weights, biases))
    return layers


def perceptron_inputs(vector, widths, features):
    """Return each layer's inputs, and last the logits, in float64."""
    inputs = [features.astype(np.float64)]
    for number, (weights, biases) in enumerate(unflatten(vector, widths)):
        leaving = inputs[-1] @ weights.T + biases
        inputs.append(leaving if number == len(widths) - 2 else np.maximum(leaving, 0))
    return inputs


def perceptron_gradient(vector, widths, inputs, slope):
    """Return the gradient by the chain rule; *slope* is that of the logits."""
    gradient = np.zeros(len(vector))
    parts = unflatten(gradient, widths)
    for layer in range(len(widths) - 2, -1, -1):
        parts[layer][0][:] = slope.T @ inputs[layer]
        parts[layer][1][:] = slope.sum(0)
        slope = (slope @ unflatten(vector, widths)[layer][0]) * (inputs[layer] > 0)
    return gradient


def train_epoch(
    vector, widths, features, labels, teachers, weights, order, rates, *, batch, weight_decay, longest_gradient, **loss
):
    """Return the weights after AdamW's first steps from *vector*, and the steps' losses and losses on labels."""
    vector, losses = vector.astype(np.float64), []
    first, second = np.zeros(len(vector)), np.zeros(len(vector))
    matrices = np.zeros(len(vector))
    for part, _ in unflatten(matrices, widths):
        part[:] = 1
    for step, rate in enumerate(rates):
        rows = order[step * batch : (step + 1) * batch]
        inputs = perceptron_inputs(vector, widths, features[rows])
        lesson = (labels[rows], [one[rows] for one in teachers], [one[rows] for one in weights])
        losses.append([part.mean() for part in loss_rows(inputs[-1], *lesson, **loss)])
        gradient = perceptron_gradient(vector, widths, inputs, loss_gradient(inputs[-1], *lesson, **loss)[1])
        gradient *= min(1.0, longest_gradient / (np.linalg.norm(gradient) + 1e-6))
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        vector = vector * (1 - rate * weight_decay * matrices)
        corrected = np.sqrt(second / (1 - 0.999 ** (step + 1)))
        vector -= rate * first / (1 - 0.9 ** (step + 1)) / (corrected + 1e-8)
    return vector, np.array(losses).T


def copy_text(texts, row, words, seed, alike=None):
    """Return one copy: *texts* are lists of words, *words* all of them, *alike* the words like each that has any."""
    own = texts[row]
    if not own:
        return ""
    stream = scramble(seed, row)

    def share(place):
        return low_share(scramble(stream, place))

    def below(place, bound):
        return (scramble(stream, place) >> 32) % bound

    def fragment(text, most, size, place):
        kept = 1 + below(size, most)
        start = below(place, len(text) - kept + 1)
        return text[start : start + kept]

    other = texts[(row + 1 + below(3, max(1, len(texts) - 1))) % len(texts)]
    kind, copy = share(0), list(own)
    if kind < 0.2:
        copy = fragment(own, len(own), 1, 2)
    elif kind < 0.35 and len(own) > 1:
        gone = 1 + below(1, len(own) // 2)
        start = below(2, len(own) - gone + 1)
        copy = own[:start] + own[start + gone :]
    elif 0.35 <= kind < 0.6 and other:
        pair = [fragment(own, len(own), 1, 2), fragment(other, min(len(own), len(other)), 4, 5)]
        copy = pair[1] + pair[0] if share(4) < 0.5 else pair[0] + pair[1]
    if share(6) < 0.2:
        for place in range(len(copy) - 1):
            later = place + 1 + below(8 + 3 * place, 3)
            if share(8 + 3 * place) < 0.15 and later < len(copy):
                copy[place], copy[later] = copy[later], copy[place]
    safe, kept = below(7, len(copy)), []
    masks = alike is None or share(7) >= 0.5
    for place, word in enumerate(copy):
        draw = scramble(stream, 9 + 3 * place)
        if not masks:
            others = alike.get(word)
            kept.append(others[below(10 + 3 * place, len(others))] if others and low_share(draw) < 0.3 else word)
        elif low_share(draw) >= 0.15 or (draw >> 32 < 2**31 and place == safe):
            kept.append(word)
        elif draw >> 32 >= 2**31:
            kept.append(words[below(10 + 3 * place, len(words))])
    joined = " ".join(kept)
    return re.sub(f"(?<={ALONE}) (?={ALONE})", "", joined)


# Signs, kana and Han; compatible and full width forms; Thai, Lao, Tibetan; Myanmar; Khmer; the further planes of Han.
ALONE = "[\u3001-\u9fff\uf900-\ufaff\uff00-\uff7f\u0e00-\u0fff\u1000-\u10bf\u1780-\u17ff\U00020000-\U0003ffff]"


def split_words(sentence):
    return re.findall(f"{ALONE}|(?:(?!{ALONE})[^\0-\x20\u3000])+", sentence)


def copy_texts(sentences, *, seed, alike=None):
    texts = [split_words(sentence) for sentence in sentences]
    words = [word for text in texts for word in text]
    return [copy_text(texts, row, words, seed, alike) for row in range(len(texts))]
