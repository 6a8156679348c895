"""scripts/train.py with weights shared out among processes (FSDP2) on CPUs.

accelerate does it on accelerators alone. The rest is as on GPUs, activations computed again too.
"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import train
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from agorabench.training import sft

initialise, save_student = AcceleratorState.__init__, sft.save_student


def share_on_cpus(self, *arguments, fsdp_plugin=None, **settings):
    initialise(self, *arguments, fsdp_plugin=fsdp_plugin, **settings)
    if fsdp_plugin is not None:
        if self._mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(self._mixed_precision)
        self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
        PartialState._shared_state["distributed_type"] = self.distributed_type


def tell_and_save(trainer, *arguments):
    kinds = {type(weight).__name__ for weight in trainer.model.parameters()}
    print(f"{type(trainer.model).__name__} of {kinds}", file=sys.stderr)
    save_student(trainer, *arguments)


def with_checkpointing(kind, *arguments, fsdp_config, **settings):
    fsdp_config |= {"activation_checkpointing": True}
    return kind(*arguments, fsdp_config=fsdp_config, **settings)


if __name__ == "__main__":
    AcceleratorState.__init__, sft.save_student = share_on_cpus, tell_and_save
    sft.SFTConfig = partial(with_checkpointing, sft.SFTConfig)
    train.main()
