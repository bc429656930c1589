"""Closed lists, written by hand, that the text rules know: function words, what stands around names, and public names of tools.

`GENERIC` is the list of words that may be left of an entity without it counting as seen: each is shared by countless entities.
"""

from __future__ import annotations

from typing import Final


def words(text: str) -> frozenset[str]:
    """A list, from words with white space between them."""
    return frozenset(text.split())


FUNCTION: Final = words("""
    a about above across after again against all almost along already also although always am among an and another any anyone
    anything are around as at away back be because been before being below between both but by can cannot could did do does
    doing done down during each either else enough even ever every everyone everything few for from get gets getting go going
    got had has have having he hello her here hers herself hey hi him himself his how however i if in instead into is it its
    itself just least less let like made make makes many may maybe me might mine more most much must my myself near neither
    never next no nobody none nor not nothing now of off often on once one only onto or other others our ours ourselves out
    over own per perhaps please quite rather really same several shall she should since so some someone something soon still
    such than thank thanks that the their theirs them themselves then there these they this those though through thus till to
    together too toward towards under until up upon us use used using very via was we were what whatever when where whether
    which while who whole whom whose why will with within without would yes yet you your yours yourself
    said see want need needs know born
    i'm i've i'll i'd
""")

BINDING: Final = words("of the to and in a by for on at or up off out")  # in chains such as state-of-the-art

# Given names that are function words: with a capital before a slot they are taken for the name.
GIVEN_AND_FUNCTION: Final = words("may will")

SHORT: Final = words("a i")  # the single letters that are words

MONTHS: Final = words("""
    january february march april may june july august september october november december
    jan feb mar apr jun jul aug sep sept oct nov dec
""")
WEEKDAYS: Final = words(
    "monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun"
)
DATES_FOR_SURE: Final = (MONTHS | WEEKDAYS) - words("march may mar jan jun dec sep oct sat sun wed mon fri")

NUMBERS: Final = words("""
    zero oh nought null one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand double triple
    first second third fourth fifth sixth seventh eighth ninth tenth
""")
SPELLING: Final = words("""
    alpha alfa bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november oscar papa quebec romeo
    sierra tango uniform victor whiskey whisky xray yankee zulu dash hyphen underscore dot slash capital uppercase lowercase
""")

# As they are said between the parts of an address, and at its end.
SIGNS: Final = words("dot underscore hyphen dash minus plus slash colon at")
DOMAINS: Final = words(
    "com org net edu gov info io ai app dev co uk eu de at ch fr es it nl be pl se no dk ca us au nz in br jp"
)

TITLES: Final = words("""
    mr mrs ms miss mx dr prof professor sir madam lady lord herr frau monsieur madame signor signora señor señora don doña
    doctor captain father sister brother uncle aunt jr sr phd md dds dvm esq
""")
PARTICLES: Final = words("""
    de del della di da das do dos du des la le les el al bin ibn ben abu van von der den zu zur ter ten op st saint san santa
    mac mc
""")
STREETS: Final = words("""
    street st road rd avenue ave av boulevard blvd lane ln drive dr court ct place pl square sq terrace ter way close crescent
    highway hwy parkway pkwy circle cir trail alley row walk mews grove gardens hill park crossing crossroad crossroads bypass
    turnpike plaza heights ridge view route rte causeway expressway freeway loop path pike harbor harbors cove creek drives
    estate estates extension extensions falls ferry field fields flat flats ford forest forge fork forks fort glen green haven
    hollow inlet island isle junction key knoll knolls lake lakes landing light lights lodge manor meadow meadows mill mills
    mission motorway mount mountain neck orchard oval overpass pass passage pine pines plain plains point port prairie radial
    ramp ranch rapid rapids rest river shoal shoals shore shores spring springs spur spurs station stravenue stream streets
    summit throughway trace track trafficway tunnel turnpike underpass union unions valley viaduct village villages ville vista
    walks wall well wells islands isle groves bridge brook brooks branch bluff bluffs bottom burg burgs camp canyon cape center
    centers cliff cliffs club common commons corner corners course courts coves crest curve dale dam divide
""")
STREETS_FOR_SURE: Final = words("""
    street st road rd avenue ave boulevard blvd lane ln terrace crescent highway hwy parkway pkwy turnpike causeway mews
    expressway freeway
""")
STREETS_FIRST: Final = words("""
    rue calle via viale avenue avenida boulevard plaza piazza rua ulica ul strada praça largo place chemin allée impasse paseo
    carrer corso vicolo
""")
STREET_PARTS: Final = words("apt apartment suite ste unit flat po building bldg block nr")
PLACES: Final = words(
    "north south east west northern southern eastern western new upper lower great little lake port saint fort mount"
)

LEGAL: Final = words("""
    inc incorporated ltd limited llc llp lp plc corp corporation gmbh ag kg ohg kgaa se sa sas sarl srl spa bv nv oy oyj ab asa aps
    as sro zoo co cie ltda eirl pty pvt kk
""")
LEGAL_FOR_SURE: Final = words("inc incorporated ltd llc llp plc gmbh kgaa sarl srl aps sro ltda pty pvt oyj")
ORGANISATIONS: Final = words("""
    group holding holdings partners associates sons brothers company companies bank university institute hospital school college
    church foundation trust agency ministry council society association club union labs laboratories studio studios systems
    solutions consulting services industries international technologies enterprises ventures capital media networks press motors
    airlines insurance pharma stiftung verein department centre center clinic academy restaurant hotel bakery
""")

GENERIC: Final = (
    FUNCTION | TITLES | PARTICLES | STREETS | STREETS_FIRST | STREET_PARTS | PLACES | LEGAL | ORGANISATIONS | NUMBERS
    | words("com org net www http https home users user mail country code date number id and und et y e i s")
)  # fmt: skip

PASSWORDS: Final = words("""
    password passwords passwd pwd passphrase passphrases passcode passcodes codeword codewords pin pins pincode pw pass passwort
    login
""")
SECRETS: Final = words("secret token tokens key keys credential credentials otp code codes seed mnemonic")
ASSIGNED: Final = words("is was are be = : to as -> => equals")
NOT_A_VALUE: Final = words("""
    wrong incorrect invalid expired required weak strong correct empty missing safe secure stored hashed encrypted reset changed
    forgotten lost set shown hidden visible saved protected valid working rejected accepted denied different unknown blank
    optional known compromised leaked shared managed generated used needed ignored checked long short too simple complex
""")

ABBREVIATIONS: Final = words(
    "e.g i.e etc vs approx cf ca a.m p.m no nr mr mrs ms dr prof st inc ltd co jr sr dept fig al"
)
KEPT_WHOLE: Final = words("e.g i.e a.m p.m etc")

# Public names of languages, formats, tools and ideas of the trade, as they are spelled; no companies, no people.
TOOLS: Final = words("""
    Python JavaScript TypeScript Java Kotlin Swift Rust Go Golang PHP Perl Haskell Clojure Elixir Erlang Lua Bash
    PowerShell SQL PostgreSQL Postgres MySQL SQLite MongoDB Redis Elasticsearch DynamoDB Kafka RabbitMQ GraphQL REST
    gRPC Docker Kubernetes Helm Terraform Ansible Git GitHub GitLab Linux Ubuntu Debian macOS Windows Android iOS Unix
    Excel PowerPoint Outlook Markdown LaTeX YAML JSON JSONL XML CSV TSV HTML CSS SVG PDF PNG JPEG GIF ZIP TOML INI
    React Vue Angular Svelte Node Node.js Next.js Express Django Flask FastAPI Rails Laravel NumPy Pandas PyTorch
    TensorFlow Keras SciPy Matplotlib Jupyter Hadoop Airflow Nginx Apache Emacs Vim VSCode IDE API APIs SDK CLI GUI UI UX
    URL URLs URI HTTP HTTPS TCP UDP DNS DHCP VPN SSH SSL TLS FTP SMTP IMAP IP LAN CPU GPU RAM SSD USB ID IDs UUID JWT OAuth SSO
    LLM LLMs AI NLP OCR RAG CI CD OK TODO FAQ CEO CTO HR KPI ROI ASCII UTF Unicode Regex ORM MVC CRUD CORS CSRF XSS
    DOM AJAX DB DBA ETL SaaS IoT PC TV DIY AM PM Internet English Wi-Fi WiFi C C++ C# F# .NET ASP.NET VBA COBOL Fortran
    python javascript typescript java kotlin swift rust golang php perl haskell bash zsh powershell sql postgresql
    postgres mysql sqlite mongodb redis elasticsearch kafka graphql grpc docker dockerfile kubernetes kubectl helm terraform
    ansible git github gitlab linux ubuntu debian macos windows android ios unix excel markdown latex yaml json jsonl
    xml csv tsv html css svg pdf png jpeg jpg gif zip toml ini react vue angular svelte node.js next.js npm yarn pip conda
    venv django flask fastapi numpy pandas pytorch tensorflow keras scipy matplotlib jupyter hadoop nginx emacs vim vscode ide
    api apis sdk cli gui ui ux url urls uri http https tcp udp dns dhcp vpn ssh ssl tls ftp smtp imap ip lan cpu gpu ram ssd usb
    id ids uuid jwt oauth sso llm llms ai nlp ocr ci cd todo faq ascii utf unicode regex regexes orm mvc crud cors csrf xss
    dom ajax etl saas iot tv diy async await config configs configure repo repos backend frontend fullstack middleware webhook
    webhooks endpoint endpoints dataframe dataframes dataset datasets tuple tuples enum enums struct structs boolean booleans
    string strings int float integer integers lambda lambdas iterator iterators decorator decorators metadata timestamp
    timestamps timezone username usernames hostname hostnames localhost filename filenames workflow workflows changelog
    chatbot prompt prompts plugin plugins refactor refactoring linter debugger stacktrace traceback deserialize serialize
    embeddings tokenizer hyperparameter hyperparameters overfitting kubelet microservice microservices serverless
    scrum kanban devops sudo apt grep awk sed curl wget chmod chown tar rsync cron crontab systemd systemctl tmux make cmake
    gcc clang cargo rustc npx pytest mypy ruff eslint webpack vite tailwind bootstrap jquery spreadsheet spreadsheets
    online offline website websites email emails smartphone vegan gluten-free gluten smoothie podcast podcasts blog blogs
    playlist fitness meme selfie app apps wifi login logins signup checkout onboarding stdin stdout stderr env args kwargs
    autocomplete paywall screenshot screenshots upload uploads download downloads internet laptop laptops hotspot startup
    startups freelancer freelance lifestyle wellbeing mindfulness bullet-point runtime namespace namespaces codebase
    parser parsers schema schemas changeset readme wildcard wildcards substring substrings subquery subqueries dropdown navbar
    sidebar tooltip breakpoint breakpoints callback callbacks mutex goroutine goroutines deadlock cache caches caching cached
""")

# The types that a slot has. What looks like one of these slots in a text becomes one that hides nothing.
TYPES: Final = words("NAME ORG ADDRESS PHONE EMAIL IBAN CARD ID DATE IP PATH URL PASSWORD KEY PHRASE NUMBER CODE TEXT")
