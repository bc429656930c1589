"""Public names of well-known packages and programs, by hand. Those of Python itself are in the vocabulary."""

from __future__ import annotations

from typing import Final

from mycelnode.privacy.lists import words

PYTHON_APIS: Final = words("""
    self cls args kwargs np pd plt sns tf nn torch numpy pandas matplotlib pyplot seaborn sklearn scipy requests httpx aiohttp
    flask Flask django fastapi FastAPI pydantic BaseModel sqlalchemy pytest fixture parametrize trio anyio asyncio click yaml
    safe_load safe_dump bs4 BeautifulSoup find_all select_one soup get_text DataFrame Series read_csv to_csv read_excel to_excel
    read_json to_json read_sql to_sql read_parquet to_parquet groupby agg aggregate merge concat pivot pivot_table melt
    drop_duplicates dropna fillna isna notna astype to_datetime value_counts sort_values sort_index reset_index set_index loc
    iloc head tail describe columns rename apply applymap iterrows itertuples rolling resample nunique unique mean median std
    var sum min max cumsum quantile corr plot show savefig figure subplots title xlabel ylabel legend scatter hist bar array
    zeros ones arange linspace reshape concatenate stack vstack hstack dot matmul random randn randint choice seed argmax argmin
    where clip ndarray dtype shape ndim axis status_code headers params timeout raise_for_status content response session json
    get post put patch delete route jsonify request render_template redirect url_for abort fit predict transform fit_transform
    predict_proba score train_test_split test_size random_state LinearRegression LogisticRegression RandomForestClassifier
    accuracy_score Tensor Module forward backward zero_grad step optim Adam loss device cuda no_grad Linear ReLU Sequential
""")

SHELL_WORDS: Final = words("""
    if then else elif fi for in do done while until case esac function true false echo printf cd ls cp mv rm mkdir rmdir touch
    cat less more head tail sort uniq wc cut tr tee xargs find grep egrep sed awk chmod chown ln pwd export source alias set
    unset read test exit return trap kill ps top df du free uname whoami which man date sleep tar zip unzip gzip gunzip curl wget
    ssh scp rsync git docker docker-compose compose kubectl helm terraform ansible npm npx yarn pnpm node python python3 pip
    pip3 uv conda venv virtualenv pytest mypy ruff make cmake gcc clang cargo rustc go java javac mvn gradle apt apt-get brew
    dnf yum pacman systemctl journalctl service crontab sudo su env jq ffmpeg convert openssl psql mysql sqlite3 redis-cli tmux
    screen vim nano code open start stop restart status enable disable init clone add commit push pull fetch checkout switch
    branch merge rebase stash log diff reset revert tag remote origin main master build run exec logs images ps pull up down
    install uninstall update upgrade remove list show search freeze get apply describe delete create logs rollout scale pods
    deployment deployments service services namespace nodes config context plan destroy
""")
