"""The backbones that layer decay knows: which layer each of their parameters belongs to, library by library."""

from __future__ import annotations

from dataclasses import dataclass

from rayseg.optim.layer_rules import HEAD, LAST, LayerRow


@dataclass(frozen=True)
class Naming:
    """A backbone family under the names that one library gives to its parameters; patterns as in ``LayerRow``.

    Attributes:
        family: of the network.
        library: whose names they are.
        anchor: the first layer; what stands before it in a name is the backbone's prefix.
        block: the blocks that are counted.
        marks: every block holds one of them; none for a family that its other names tell enough of.
        needs: some name matches it, if given.
        lacks: no name matches it, if given.
        rows: the layer table; names after the prefix, the first row that matches counts.
    """

    family: str
    library: str
    anchor: str
    block: str
    rows: tuple[LayerRow, ...]
    marks: tuple[str, ...] = ()
    needs: str = ""
    lacks: str = ""

    def __str__(self) -> str:
        return f"{self.family} as {self.library} names it"


def _heads(*patterns: str) -> tuple[LayerRow, ...]:
    return tuple(LayerRow(pattern, HEAD, HEAD) for pattern in patterns)


def _convnext(stem: str, downsampling: str, block: str, *heads: str) -> tuple[LayerRow, ...]:
    """ConvNeXt's 12 layers (6 for the small ones): three blocks of the third stage make a layer.

    Source: Liu et al., A ConvNet for the 2020s, 2022, whose stages by themselves have their downsampling in layer 0.
    """
    downsamplings: tuple[int | str, ...] = (0, 2, 3, LAST)
    blocks: tuple[int | str, ...] = (1, 2, "3 + block // 3", LAST)
    rows = [LayerRow(stem, 0, 0)]
    for stage, layer in enumerate(downsamplings):
        rows.append(LayerRow(downsampling.replace("{stage}", str(stage)), layer, 0))
    for stage, layer in enumerate(blocks):
        rows.append(LayerRow(block.replace("{stage}", str(stage)), layer, stage + 1))
    return (*rows, *_heads(*heads))


def _plain(first: tuple[str, ...], block: str, *heads: str) -> tuple[LayerRow, ...]:
    """A stack of equal blocks: patches, tokens and positions are layer 0, block i is layer i + 1.

    Source: Bao et al., BEiT, 2021.
    """
    return (*(LayerRow(pattern, 0) for pattern in first), LayerRow(block, "block + 1"), *_heads(*heads))


def _swin(first: tuple[str, ...], block: str, downsampling: LayerRow, *heads: str) -> tuple[LayerRow, ...]:
    """Swin: blocks are counted through the stages; merging patches belongs to the block before it.

    Source: the fine-tuning of Xie et al., SimMIM, 2021.
    """
    begin = tuple(LayerRow(pattern, 0, 0) for pattern in first)
    return (*begin, LayerRow(block, "before + block + 1", "stage + 1"), downsampling, *_heads(*heads))


_TIMM_FIRST = ("patch_embed", "cls_token", "pos_embed", "dist_token", "reg_token", "mask_token", "norm_pre")
_TIMM_HEADS = ("norm", "fc_norm", "head", "head_dist", "head_drop", "attn_pool", "hidden_states_norms")
_BIAS = "attn.relative_position_bias_table"
_HF_FIRST = ("embeddings",)

NAMINGS: tuple[Naming, ...] = (
    Naming(
        "ConvNeXt",
        "mmpretrain",
        anchor="downsample_layers.0",
        block="stages.{stage}.{block}",
        rows=_convnext("cls_token", "downsample_layers.{stage}", "stages.{stage}.{block}", "norm", "norm{n}", "head"),
    ),
    Naming(
        "ConvNeXt",
        "timm",
        anchor="stem?0",
        block="stages?{stage}.blocks.{block}",
        marks=("conv_dw",),
        rows=_convnext("stem*", "stages?{stage}.downsample", "stages?{stage}.blocks.{block}", "norm_pre", *_TIMM_HEADS),
    ),
    Naming(
        "ConvNeXt",
        "transformers",
        anchor="embeddings.patch_embeddings",
        block="encoder.stages.{stage}.layers.{block}",
        marks=("dwconv",),
        rows=_convnext(
            "embeddings",
            "encoder.stages.{stage}.downsampling_layer",
            "encoder.stages.{stage}.layers.{block}",
            "layernorm",
            "hidden_states_norms",
        ),
    ),
    Naming(
        "Swin",
        "mmseg",
        anchor="patch_embed",
        block="stages.{stage}.blocks.{block}",
        marks=("attn.w_msa",),
        rows=_swin(
            ("patch_embed", "absolute_pos_embed"),
            "stages.{stage}.blocks.{block}",
            LayerRow("stages.{stage}.downsample", "through", "stage + 1"),
            "norm{n}",
        ),
    ),
    Naming(
        "Swin",
        "Microsoft",
        anchor="patch_embed",
        block="layers.{stage}.blocks.{block}",
        marks=(_BIAS, "attn.logit_scale"),
        needs="layers.0.downsample",
        rows=_swin(
            ("patch_embed", "absolute_pos_embed"),
            "layers.{stage}.blocks.{block}",
            LayerRow("layers.{stage}.downsample", "through", "stage + 1"),
            *_TIMM_HEADS,
        ),
    ),
    *(
        Naming(
            "Swin",
            "timm",
            anchor="patch_embed",
            block=f"{stage}.blocks.{{block}}",
            marks=(_BIAS, "attn.logit_scale", "attn.meta_mlp"),
            lacks=stage.replace("{stage}", "0.downsample"),
            rows=_swin(
                ("patch_embed", "absolute_pos_embed"),
                f"{stage}.blocks.{{block}}",
                LayerRow(f"{stage}.downsample", "before", "stage"),
                *_TIMM_HEADS,
            ),
        )
        for stage in ("layers?{stage}", "stages?{stage}")
    ),
    Naming(
        "Swin",
        "transformers",
        anchor="embeddings.patch_embeddings",
        block="encoder.layers.{stage}.blocks.{block}",
        rows=_swin(
            _HF_FIRST,
            "encoder.layers.{stage}.blocks.{block}",
            LayerRow("encoder.layers.{stage}.downsample", "through", "stage + 1"),
            "layernorm",
            "pooler",
            "hidden_states_norms",
        ),
    ),
    Naming(
        "ViT",
        "mmseg",
        anchor="patch_embed",
        block="layers.{block}",
        lacks="layers.{stage}.blocks",
        rows=_plain(
            ("patch_embed", "cls_token", "pos_embed", "mask_token", "pre_norm"), "layers.{block}", "norm{n}", "ln{n}"
        ),
    ),
    Naming(
        "ViT",
        "timm",
        anchor="patch_embed",
        block="blocks.{block}",
        rows=_plain((*_TIMM_FIRST, "rel_pos_bias"), "blocks.{block}", *_TIMM_HEADS),
    ),
    *(
        Naming(
            "ViT",
            "transformers",
            anchor="embeddings.patch_embeddings",
            block=block,
            lacks=f"{block}.blocks",
            rows=_plain(
                (*_HF_FIRST, "shared_position_bias", "encoder.relative_position_bias"),
                block,
                "layernorm",
                "norm",
                "pooler",
            ),
        )
        for block in ("encoder.layer.{block}", "layers.{block}", "layer.{block}", "model.layer.{block}")
    ),
)
