"""What made-up identifiers consist of: words of programs, and the sounds of invented ones. Lists only."""

# A word a line would be five hundred lines.
# ruff: noqa: SIM905

from __future__ import annotations

from typing import Final

WORDS: Final = tuple(
    """
    access action adapter agent alias archive array asset auth author auto balance band basket bill binary bit block
    board body book bool border bounce branch bridge broker bucket budget bug bundle button byte call canvas card
    case cell cents center chain channel char check child choice circle city class clock clone code command common
    compound connection constant contact content context control copy core cost counter cover credit cursor cycle
    data deck default delta demo depth desk detail device diff digest dish dispatch dock document domain draft drive
    dummy echo effect element entry equal estimate event exact expense export extra factor fee feature feed field
    final flag flow folder font force form forward frame free front gain game gap gate gross group guest guess hand
    hash health hint history holder home hook hot icon id ideal import info inner input insert issue job join
    journal judge jump junk keep kernel kind label lamp lane last latch launch lead leaf lease ledger left legend
    lens level light limit link load loan local lock loop loss lower magic main major map margin mark mask match
    media member memo merge metric middle minor mode module money monitor mount move mutex native net network noise
    normal note notice number object offer office old online open order origin outer output owner pack package pair
    panel paper parent part pass patch pay peer percent phase phone pick piece pilot pipe place plain plan plate
    play plus pool port post power prefix price print prior probe process profile progress proof proxy pulse pure
    quality quantity query quick quiet quota quote rank ratio raw reach ready real reason receipt recipe region
    relay release remote render repeat reply report reserve rest retry reward right ring role room root round route
    rule run safe sale sample scale scan scene schedule scope screen script seat second section seed select sender
    series set shape share shelf shift ship shop short signal simple single site skip slice slot small snap socket
    solid source space spare spec split spot stage stamp state static status step stock stone store stream strict
    style sub suffix suite swap switch symbol sync system tag take target tax team temp term text theme thread tick
    ticket tile timer title token tool top topic trace track trade traffic transfer trial trigger trim truth turn
    type unit update usage user utility valid vault vendor verify version view visit volume vote wait walk warm
    watch wave week whole window wire work world wrap write yield zero zone
    """.split()
)
ONSETS: Final = tuple(
    """
    b c d f g h j k l m n p r s t v w z br ch cl dr fl gr kr pl pr qu sh sk sl sp st str th tr x
    """.split()
)
VOWELS: Final = tuple("a e i o u ai ea ee io oo ou y".split())
CODAS: Final = ("", "", "", *"b ck d g k l ll m n nd ng nt p r rt s sh st t th x z".split())
"""Nothing, three times as often as any other."""
