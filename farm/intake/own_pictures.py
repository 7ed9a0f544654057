"""The pictures of an inspected mp4, where this farm still has the video: the file itself holds none."""

from __future__ import annotations

from contextlib import suppress

from farm.errors import Damaged, NotFound, TooLarge, UnsupportedImage
from farm.intake.inspect_file import Inspection
from farm.intake.prepare import Tools, input_names
from farm.intake.uploads import Upload, checked_picture
from farm.jobs import Jobs
from farm.ledger.damage import verified


def with_own_pictures(found: Inspection, jobs: Jobs, tools: Tools, *, owner: str) -> Inspection:
    """Add the pictures of the video that an mp4 says it is, and take them out of `left_out`.

    The video must be the owner's. If it is not here, no video is named. Raises: StoreError.
    """
    try:
        record = jobs.get(found.video, owner=owner)
    except (NotFound, Damaged):
        return found._replace(video="")
    [one] = found.found
    images, taken = dict[str, Upload](), set[str]()
    for part, name in input_names(record.job.request, record.job.plan, tools.planner).items():
        is_start = name == "end" and record.job.request.loop  # its end image is its start image
        if name in record.job.inputs and not is_start:
            with suppress(Damaged, TooLarge, UnsupportedImage):
                data = verified(jobs.store, record.job.inputs[name])
                images[part] = checked_picture(data, f"{found.video}.{name}.png", tools)
                taken.add(f"inputs.{name}")
    fields, frames = dict(one.fields), record.job.request.keyframes
    if frames and all(frame.image in images for frame in frames):
        fields["keyframes"] = [frame.model_dump(mode="json") for frame in frames]
        taken.add("keyframes")
    else:
        images = {part: image for part, image in images.items() if not part.startswith("keyframe_")}
    if record.job.request.loop:  # its end image is its start image
        taken.add("inputs.end")
    left_out = [left for left in one.left_out if left.name not in taken]
    return found._replace(found=[one._replace(fields=fields, images=images, left_out=left_out)])
