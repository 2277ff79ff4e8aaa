R"css(
    --paper: #14171c; --card: #1b1f25; --ink: #eceef1; --muted: #a3a9b3; --faint: #858c97; --rule: #2c323a; --strong-rule: #3a414b;
    --grey: #949ba6; --amber: #e3ae45; --floor: #98a1ad; --on-ink: #14171c;
    --s0: #8cb2ea; --s1: #f5985a; --s2: #5fc4b0; --s3: #bda0e8; --s4: #d9bb55; --s5: #ea8fc0; --s6: #b9aa9c;
    color-scheme: dark;
)css"
