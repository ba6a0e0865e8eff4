"""Writes glyphs.txt: the outlines of Latin letters, from the file of DejaVu Sans.

python3 glyphs.py DejaVuSans.ttf > glyphs.txt      (needs fonttools)
"""

import sys

from fontTools.pens.basePen import BasePen
from fontTools.ttLib import TTFont

UNITS = 1000
LETTERS = [*range(0x20, 0x7F), *range(0xA0, 0x180), *map(ord, "–—‘’“”…−≤≥\ufffd")]
NOTICE = """\
# Outlines of DejaVu Sans 2.37: a letter's number, its advance, its path; 1000 units to the em, y up.
#
# Copyright (c) 2003 by Bitstream, Inc. All Rights Reserved. DejaVu changes are in public domain.
#
# Permission is hereby granted, free of charge, to any person obtaining a copy of the fonts accompanying this license ("Fonts") and
# associated documentation files (the "Font Software"), to reproduce and distribute the Font Software, including without limitation
# the rights to use, copy, merge, publish, distribute, and/or sell copies of the Font Software, and to permit persons to whom the
# Font Software is furnished to do so, subject to the following conditions:
#
# The above copyright and trademark notices and this permission notice shall be included in all copies of one or more of the Font
# Software typefaces.
#
# The Font Software may be modified, altered, or added to, and in particular the designs of glyphs or characters in the Fonts may be
# modified and additional glyphs or characters may be added to the Fonts, only if the fonts are renamed to names not containing
# either the words "Bitstream" or the word "Vera".
#
# This License becomes null and void to the extent applicable to Fonts or Font Software that has been modified and is distributed
# under the "Bitstream Vera" names.
#
# The Font Software may be sold as part of a larger software package but no copy of one or more of the Font Software typefaces may
# be sold by itself.
#
# THE FONT SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO ANY
# WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT OF COPYRIGHT, PATENT, TRADEMARK, OR OTHER
# RIGHT. IN NO EVENT SHALL BITSTREAM OR THE GNOME FOUNDATION BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, INCLUDING ANY
# GENERAL, SPECIAL, INDIRECT, INCIDENTAL, OR CONSEQUENTIAL DAMAGES, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
# FROM, OUT OF THE USE OR INABILITY TO USE THE FONT SOFTWARE OR FROM OTHER DEALINGS IN THE FONT SOFTWARE.
#
# Except as contained in this notice, the names of Gnome, the Gnome Foundation, and Bitstream Inc., shall not be used in advertising
# or otherwise to promote the sale, use or other dealings in this Font Software without prior written authorization from the Gnome
# Foundation or Bitstream Inc., respectively. For further information, contact: fonts at gnome dot org."""


class Words(BasePen):
    """Writes a path as words."""

    def __init__(self, glyphs, scale):
        super().__init__(glyphs)
        self.scale = scale
        self.words = []

    def put(self, word, *points):
        self.words.append(word + " ".join(str(round(v * self.scale)) for point in points for v in point))

    def _moveTo(self, point):
        self.put("M", point)

    def _lineTo(self, point):
        self.put("L", point)

    def _qCurveToOne(self, control, point):
        self.put("Q", control, point)

    def _closePath(self):
        self.put("Z")


font = TTFont(sys.argv[1])
glyphs, names = font.getGlyphSet(), font.getBestCmap()
scale = UNITS / font["head"].unitsPerEm
print(NOTICE)
for letter in LETTERS:
    if letter not in names:
        continue
    pen = Words(glyphs, scale)
    glyphs[names[letter]].draw(pen)
    print(f"{letter:x} {round(glyphs[names[letter]].width * scale)} {''.join(pen.words)}".rstrip())
