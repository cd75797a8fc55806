#include "tools/verify_text.h"

namespace gemma4 {

// Prose, dialogue, facts with numbers, code, markup and several scripts: what a model meets.
const char* const kVerifyText =
    R"(The ferry left the island at half past six, ten minutes late, because the harbour master had
mislaid the key to the gate. Nobody on board seemed to mind. Two boys counted gulls, an old man read
yesterday's newspaper from the back to the front, and the cook leaned out of the galley window to ask
whether anyone still wanted soup.

"Is it the same soup as this morning?" asked the old man.
"It is better," said the cook. "It has had all day to think."

Water boils at 100 degrees Celsius at sea level and at about 93 degrees at 2,000 metres, since the
pressure of the air falls with height. A train that covers 240 kilometres in 1 hour and 36 minutes
travels at 150 kilometres an hour. The sum of the first n odd numbers is n squared: 1 + 3 + 5 + 7 = 16.

def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2 == 1:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2

| city    | trams | first line |
|---------|------:|-----------:|
| Lisbon  |     6 |       1873 |
| Zagreb  |    15 |       1891 |

{"order": 1741, "items": [{"name": "lamp", "count": 2, "price": 18.5}], "paid": true}

Der Regen hatte aufgehört, aber von den Dächern tropfte es noch lange. La biblioteca abre a las nueve
y cierra a las ocho, salvo los domingos. Le train de nuit arrive avant l'aube, quand les quais sont
encore vides. Поезд опоздал на двадцать минут, и на перроне стало тихо. 图书馆在河边，窗外有一棵很老的树。
駅前の小さな店で、温かいお茶を飲みました。बारिश के बाद बाज़ार फिर से खुल गया। فتح المتجر أبوابه بعد المطر.

To plant a tree, dig a hole twice as wide as the roots and no deeper. Loosen the soil at the sides, set
the tree so that the flare of the trunk stays above the ground, fill the hole, and water it slowly.
Mulch keeps the weeds away, but must not touch the bark. In the first two summers, water once a week
when it does not rain; after that, the tree looks after itself.
)";

}  // namespace gemma4
