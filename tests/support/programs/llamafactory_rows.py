"""Print the rows that LLaMA-Factory trains on, in its own environment: `llamafactory_rows.py CONFIG.yaml ROWS.json`.

Its loader reads the files, and its collator pads each pair of rows; padding is cut off again.
"""

import json
import sys
from pathlib import Path

import yaml
from llamafactory.data import SFTDataCollatorWith4DAttentionMask, get_dataset, get_template_and_fix_tokenizer
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer

model, data, training, *_ = get_train_args(yaml.safe_load(Path(sys.argv[1]).read_text()))
tokenizer = load_tokenizer(model)
template = get_template_and_fix_tokenizer(tokenizer["tokenizer"], data)
rows = get_dataset(template, model, data, training, stage="sft", **tokenizer)["train_dataset"]
collator = SFTDataCollatorWith4DAttentionMask(
    template=template, pad_to_multiple_of=8, label_pad_token_id=-100, **tokenizer
)
collated = []
for start in range(0, len(rows), 2):
    batch = collator([rows[i] for i in range(start, min(start + 2, len(rows)))])
    for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True):
        length = int(mask.sum())
        assert (labels[length:] == -100).all()
        collated.append({"input_ids": ids[:length].tolist(), "labels": labels[:length].tolist()})
Path(sys.argv[2]).write_text(json.dumps(collated))
