"""A tiny pretrained encoder on disk: a BERT with random weights, and WordPieces of the sample sentences."""

import torch
from sample_texts import sentences

MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_tokenizer(folder, pieces=400):
    """Train WordPieces on sample sentences, and write them into *folder* as transformers does; return how many."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    texts, _ = sentences(500)
    tokenizer.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=pieces, special_tokens=list(MARKS), show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), MARKS, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **names).save_pretrained(folder)
    return tokenizer.get_vocab_size()


def write_encoder(folder, pieces=400, seed=0, **changes):
    """Write a BERT of one layer and its tokenizer into *folder*, and return it."""
    from transformers import BertConfig, BertModel

    known = write_tokenizer(folder, pieces)
    sizes = {
        "vocab_size": known,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
    torch.manual_seed(seed)
    BertModel(BertConfig(**sizes | changes)).save_pretrained(folder)
    return folder
