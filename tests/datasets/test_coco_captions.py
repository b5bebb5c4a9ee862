from __future__ import annotations

import json
from pathlib import Path

from refusals import refused

from brainalign.datasets import coco_captions, nsd_coco_ids


def annotations(path: Path, rows: list[tuple[int, str]]) -> Path:
    """Write a file as COCO lays it out; captions of one image do not follow each other."""
    content = {
        "info": {},
        "images": [],
        "annotations": [{"image_id": k, "id": n, "caption": text} for n, (k, text) in enumerate(rows)],
    }
    path.write_text(json.dumps(content))
    return path


def test_captions_are_found_by_their_ids(tmp_path: Path) -> None:
    folder = tmp_path / "nsddata" / "experiments" / "nsd"
    folder.mkdir(parents=True)
    header = ",cocoId,cocoSplit,cropBox,loss,nsdId,flagged,BOLD5000,shared1000,subject1\n"
    lines = ['0,532481,val2017,"(0, 0, 0.1, 0.1)",0.1,0,False,False,False,0\n']
    lines.append('1,245764,train2017,"(0, 0, 0, 0)",0.2,72999,False,False,True,12\n')
    (folder / "nsd_stim_info_merged.csv").write_text(header + "".join(lines))
    ids = nsd_coco_ids(tmp_path)
    assert ids == {"nsd-00000": 532481, "nsd-72999": 245764}
    train = annotations(tmp_path / "train.json", [(245764, "A dog.\n"), (1, "Another."), (245764, "A brown dog.")])
    val = annotations(tmp_path / "val.json", [(532481, "A kite.")])
    table = coco_captions([train, val], ids)
    assert table.to_dict("list") == {
        "stimulus_id": ["nsd-00000", "nsd-72999", "nsd-72999"],
        "caption": ["A kite.", "A dog.", "A brown dog."],
    }
    refused(r"1 of 2 images have no caption in train.json \(nsd-00000\).*val2017", coco_captions, [train], ids)


def test_other_files_are_refused(tmp_path: Path) -> None:
    refused(r"nsd_stim_info_merged\.csv", nsd_coco_ids, tmp_path)
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({"annotations": [{"image_id": 1, "bbox": []}]}))
    refused(r"instances.json: no captions of COCO \(KeyError: 'caption'\)", coco_captions, [path], {"a": 1})
    path.write_text("[1, 2")
    refused("no captions of COCO", coco_captions, [path], {"a": 1})
    refused("annotations_trainval2017", coco_captions, [tmp_path / "nothing.json"], {"a": 1})
