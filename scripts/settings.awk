# settings.awk: rejects settings on make's command line that the goals do not have.
#   awk -f scripts/settings.awk -v goals="fuzz" -v given="TIM TIME" -v common="CC V" makefiles...
# A goal's settings are the capitals in its `## text`. Prints one line, or nothing.
FILENAME ~ /\.d$/ { nextfile }

{ # a continued line
    $0 = rest $0
    rest = ""
}

/\\$/ {
    rest = substr($0, 1, length($0) - 1)
    next
}

/^[a-zA-Z0-9_.-]+( [a-zA-Z0-9_.-]+)*:.* ## / {
    names = help = $0
    sub(/:.*/, "", names)
    sub(/.* ## /, "", help)
    words = ""
    while (match(help, /[A-Z][A-Z0-9_]+=?|[A-Z]=/)) {
        word = substr(help, RSTART, RLENGTH)
        sub(/=$/, "", word)
        words = words " " word
        help = substr(help, RSTART + RLENGTH)
    }
    count = split(names, one, " ")
    for (i = 1; i <= count; i++)
        takes[one[i]] = words " "
}

# Edit distance of two words: letters to change, add or remove.
function distance(a, b, i, j, cost, row, last, next_last) {
    for (j = 0; j <= length(b); j++)
        row[j] = j
    for (i = 1; i <= length(a); i++) {
        last = row[0]
        row[0] = i
        for (j = 1; j <= length(b); j++) {
            next_last = row[j]
            cost = last + (substr(a, i, 1) != substr(b, j, 1))
            if (row[j] + 1 < cost)
                cost = row[j] + 1
            if (row[j - 1] + 1 < cost)
                cost = row[j - 1] + 1
            row[j] = cost
            last = next_last
        }
    }
    return row[length(b)]
}

END {
    goal_count = split(goals, goal, " ")
    known = " " common " "
    for (i = 1; i <= goal_count; i++) {
        if (!(goal[i] in takes))
            exit # a file, or no target: make reports that itself
        known = known takes[goal[i]]
    }
    given_count = split(given, name, " ")
    for (i = 1; i <= given_count; i++) {
        if (index(known, " " name[i] " "))
            continue
        best = ""
        least = 3
        known_count = split(known, one, " ")
        for (j = 1; j <= known_count; j++)
            if ((far = distance(name[i], one[j])) < least) {
                least = far
                best = one[j]
            }
        printf "make %s: there is no setting %s=%s; 'make help' lists the settings\n", goals, name[i],
            best == "" ? "" : " (is it " best "=?)"
        exit
    }
}
