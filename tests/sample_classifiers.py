"""A tiny classifier of text on disk: a BERT with random weights, a head, and WordPieces of the sample sentences."""

import torch
from sample_encoders import write_tokenizer
from sample_texts import CLASSES


def write_classifier(folder, labels=CLASSES, seed=0, **changes):
    """Write a BERT of two layers whose outputs are called *labels*, None for no names, and return it."""
    from transformers import BertConfig, BertForSequenceClassification

    sizes = {
        "vocab_size": write_tokenizer(folder),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        # Random layers answer all rows nearly alike; larger weights tell them apart.
        "initializer_range": 0.2,
    }
    named = {} if labels is None else {"id2label": dict(enumerate(labels)), "num_labels": len(labels)}
    torch.manual_seed(seed)
    model = BertForSequenceClassification(BertConfig(**sizes | named | changes)).eval()
    model.save_pretrained(folder)
    return model
